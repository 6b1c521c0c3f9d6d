# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Pseudo-label the target by anchors of a frozen encoder.

    python tools/fit_anchors.py configs/minitown/nearest_anchor.py

computes the anchors in two passes over the labelled source images and saves
them with the encoder as a checkpoint for tools/test.py and tools/demo.py. It
prints the pseudo-labelled target pixels of each class and their quality on the
config's test set. Run it first on new data: it takes minutes and shows how far
apart the domains are for this encoder.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from command_line import add_run_options, load_run
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config with an AnchorHead')
    add_run_options(parser, 'folder of checkpoint and log')
    return parser.parse_args()


def load_config(args: argparse.Namespace) -> Config:
    """Merge the config file with the command line."""
    cfg = load_run(args)
    # Nothing is trained.
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        cfg.pop(key, None)
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg.pop(key, None)
    cfg.pop('param_scheduler', None)
    # The table shows everything.
    cfg.log_level = 'WARNING'
    return cfg


def passes(runner: Runner, loader: object, title: str) -> Iterator:
    """Yield the backbone's feature maps and the labels of each batch."""
    from mmseg_cag.engine.stages import preprocess_source
    from mmseg_cag.models.data_preprocessor import UDADataPreprocessor
    from mmseg_cag.models.segmentors.base import bare_model, gt_labels
    from mmseg_cag.progress import track

    model = bare_model(runner)
    by_domain = isinstance(model.data_preprocessor, UDADataPreprocessor)
    for batch in track(loader, title, disable=not is_main_process()):
        if by_domain:
            images, samples = preprocess_source(model, batch)
        else:
            images, samples = model.data_preprocessor(batch).values()
        with torch.no_grad():
            maps = model.extract_feat(images)
        yield maps, gt_labels(samples).long().to(images.device)


def fit(runner: Runner, cfg: Config) -> nn.Module:
    """Compute the anchors of a runner's model.

    Raises:
        UserError: The head is no `AnchorHead`, or there is no source.
    """
    from mmseg_cag.errors import UserError
    from mmseg_cag.models.heads import AnchorHead
    from mmseg_cag.models.segmentors.base import bare_model

    model = bare_model(runner)
    if not isinstance(model.decode_head, AnchorHead):
        raise UserError(
            f'model.decode_head.type={type(model.decode_head).__name__}, '
            'expected AnchorHead'
        )
    loader = runner.build_dataloader(cfg.anchor_dataloader, seed=runner.seed)
    model.init_weights()
    model.eval()
    titles = iter(('Source pixels', 'Anchors'))
    model.decode_head.fit(
        lambda: passes(runner, loader, next(titles)), len(loader.dataset)
    )
    return model


def save(model: nn.Module, cfg: Config) -> Path:
    """Save the network with its anchors."""
    from mmseg_cag.engine.records.descent import (
        DESCENT,
        data_in,
        descent_of,
        unique,
    )
    from mmseg_cag.fileio.atomic import atomic_path

    path = Path(cfg.work_dir, 'anchors.pth')
    source = cfg.anchor_dataloader.dataset
    descent = [
        *descent_of(cfg, {}),
        *data_in(source, 'anchors', cfg.get('licences')),
    ]
    meta = {DESCENT: unique(descent)}
    with atomic_path(path) as draft:
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, draft)
    return path


def count(runner: Runner, model: nn.Module) -> Tensor:
    """Count pseudo labels of the test set (K, K + 1); last column: unlabelled.

    Rows are the ground truth. Runs on one process.
    """
    from mmseg_cag.analysis.evaluate import confusion
    from mmseg_cag.models.heads.anchor_head import labels_at

    head = model.decode_head
    counts = 0
    loader = runner.test_dataloader
    for maps, labels in passes(runner, loader, 'Pseudo labels'):
        assigned = head.pseudo_labels(maps)
        truth = labels_at(labels, assigned[:, None])
        counts = counts + confusion(truth, assigned, head.num_classes)
    return counts


def show(
    runner: Runner, model: nn.Module, counts: Tensor, results: dict
) -> None:
    """Print the IoU and pseudo-label quality of each class."""
    from mmseg_cag.analysis.evaluate import quality_of

    head = model.decode_head
    classes = runner.test_dataloader.dataset.metainfo['classes']
    pixels = head.anchor_bank.counts.view(len(classes), -1).sum(1)
    by_class, total = quality_of(counts.cpu(), classes)
    margin = head.pseudo_label_head.margin.max().item()
    table = Table('class', 'source pixels', 'IoU', title='Nearest anchor')
    table.caption = f'labelled: nearer by the margin, {margin:.3g}'
    for name in ('labelled', 'precision', 'coverage'):
        table.add_column(name)
    for name, n in zip(classes, pixels.tolist(), strict=True):
        iou = f'{results.get(f"IoU.{name}", float("nan")):.1f}'
        table.add_row(name, f'{n:.0f}', iou, *cells(by_class[name]))
    mean = f'{results["mIoU"]:.1f}'
    table.add_row('all', f'{pixels.sum():.0f}', mean, *cells(total))
    Console(markup=False).print(table)


def cells(quality: object) -> list[str]:
    """Format number, precision and coverage of pseudo labels."""
    shares = quality.precision, quality.coverage
    return [
        str(quality.labels),
        *('-' if share is None else f'{share:.1%}' for share in shares),
    ]


def main() -> None:
    """Fit, save, and evaluate."""
    args = parse_args()
    cfg = load_config(args)
    # Imported after the config, which may select modules.
    from mmseg_cag.datasets.dataset_configs import require_images_of
    from mmseg_cag.engine.checks.require_weights import require_weights
    from mmseg_cag.engine.runtime.cpu_distributed import use_gloo_without_gpu
    from mmseg_cag.errors import exit_on_user_error

    with exit_on_user_error():
        require_weights(cfg)
        require_images_of(cfg, 'anchor_dataloader', 'test_dataloader')
        use_gloo_without_gpu(cfg)
        runner = Runner.from_cfg(cfg)
        model = fit(runner, cfg)
        if is_main_process():
            path = save(model, cfg)
        results = runner.test()
        if args.launcher == 'none':
            show(runner, model, count(runner, model), results)
        if is_main_process():
            print(f'python tools/test.py {args.config} {path}')


if __name__ == '__main__':
    main()

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Measure how well classes without source labels are found as unknown.

python tools/benchmarks/benchmark_unknown.py configs/minitown/nearest_anchor.py

The network is a frozen encoder with anchors (`AnchorHead`). So each class can
be left out in turn: spread, anchors and limits are computed only from the
other classes' source pixels.

python tools/benchmarks/benchmark_unknown.py configs/minitown/cag_open.py \
    --checkpoint work_dirs/minitown/cag_open/iter_450.pth

is of a trained network: the classes are those that its config says the source
does not label, the anchors and limits those of the checkpoint.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from rich.console import Console
from rich.table import Table
from torch import Tensor

import mmseg_cag  # noqa: F401, registers
from mmseg_cag.analysis.runs.labeling_network import load_labeling_network
from mmseg_cag.analysis.runs.network import build_preprocessor, read_state
from mmseg_cag.analysis.runs.samples import (
    build_dataset,
    preprocess,
    read_samples,
)
from mmseg_cag.datasets.dataset_configs import spread
from mmseg_cag.errors import UserError, exit_on_user_error
from mmseg_cag.evaluation.auroc import auroc
from mmseg_cag.launch.cfg_options import load_or_exit
from mmseg_cag.models.anchors.class_means import whitening
from mmseg_cag.models.anchors.pseudo_label_head import PixelSampler
from mmseg_cag.models.anchors.unknown import UnknownPixels
from mmseg_cag.models.heads.anchor_head import AnchorHead, labels_at

# legend: P pixels, K classes, C feature channels


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'config', help='config with an AnchorHead, or of the run'
    )
    parser.add_argument('--checkpoint', type=Path, help='of a trained network')
    parser.add_argument('--images', type=int, default=100, help='a domain')
    parser.add_argument('--pixels', type=int, default=50_000, help='likewise')
    parser.add_argument(
        '--quantile', type=float, help='of the limits (default: 0.99)'
    )
    parser.add_argument('--out', type=Path, help='output file, *.json')
    return parser.parse_args()


def main() -> None:
    """Run the command."""
    args = parse_args()
    with exit_on_user_error():
        found = check_trained(args) if args.checkpoint else check(args)
    show(found)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(found, indent=1) + '\n')


@torch.no_grad()
def check(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Leave out each class in turn.

    Raises:
        UserError: The head is no `AnchorHead`, or data is missing.
    """
    init_default_scope('mmseg')
    cfg = load_or_exit(args.config)
    model = MODELS.build(cfg.model).eval()
    if not isinstance(model.decode_head, AnchorHead):
        raise UserError(f'{args.config}: expected a decode_head AnchorHead')
    model.init_weights()
    source, target = (
        sample_pixels(model, cfg[loader].dataset, loader, args)
        for loader in ('anchor_dataloader', 'test_dataloader')
    )
    dataset = build_dataset(cfg.test_dataloader.dataset, 'test_dataloader')
    quantile = 0.99 if args.quantile is None else args.quantile
    return {
        name: leave_out(k, source, target, quantile, len(classes))
        for classes in [dataset.metainfo['classes']]
        for k, name in enumerate(classes)
        if (target[1] == k).any()
    }


@torch.no_grad()
def check_trained(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Find the target-only classes of a run by its anchors and limits.

    Raises:
        UserError: The run has no such classes or limits, data is missing, or
            a quantile for other limits is set.
    """
    if args.quantile is not None:
        raise UserError(
            '--quantile: the limits are those of --checkpoint, expected one '
            'of the two'
        )
    init_default_scope('mmseg')
    cfg = load_or_exit(args.config)
    private = cfg.test_evaluator.get('target_only')
    network = load_labeling_network(
        cfg, read_state(args.checkpoint), args.checkpoint
    )
    limits = network.head.unknown
    if not private or limits is None or not limits.has_limits:
        raise UserError(
            f'{args.checkpoint}: expected a run with target_only classes and '
            'limits, such as of configs/minitown/cag_open.py'
        )
    dataset = build_dataset(cfg.test_dataloader.dataset, 'test_dataloader')
    indices = spread(dataset, args.images)
    pixels = PixelSampler(args.pixels, len(indices), network.bank.anchors)
    preprocessor = build_preprocessor(cfg, 'target')
    for sample in read_samples(dataset, indices):
        feat = network.see(preprocessor, sample).feat
        truth = sample.truth[None].to(feat.device)
        pixels.add(feat, labels_at(truth, feat))
    feat, labels = pixels.gather()
    distances = network.bank.distances(feat[:, :, None, None])[:, :, 0, 0]
    excess, labels = limits.excess(distances).cpu(), labels.cpu()
    classes = dataset.metainfo['classes']
    numbers = {name: classes.index(name) for name in private}
    known = ~torch.isin(labels, torch.tensor([*numbers.values()]))
    found = {}
    for name, k in numbers.items():
        if (labels == k).any():
            counted = known | (labels == k)
            found[name] = rate(excess[counted], labels[counted] == k)
    return found


def sample_pixels(
    model: torch.nn.Module, dataset: dict, key: str, args: argparse.Namespace
) -> tuple[Tensor, Tensor]:
    """Sample features (P, C) and labels (P,) of a domain."""
    images = build_dataset(dataset, f'{key}.dataset')
    indices = spread(images, args.images)
    head = model.decode_head
    like = head.anchor_bank.anchors[: head.num_classes]
    sampler = PixelSampler(args.pixels, len(indices), like)
    for sample in read_samples(images, indices):
        inputs = preprocess(model.data_preprocessor, sample)
        feat = head.features(model.extract_feat(inputs))
        truth = sample.truth[None].to(feat.device)
        sampler.add(feat, labels_at(truth, feat))
    feat, labels = sampler.gather()
    return feat.cpu(), labels.cpu()


def leave_out(
    k: int,
    source: tuple[Tensor, Tensor],
    target: tuple[Tensor, Tensor],
    quantile: float,
    classes: int,
) -> dict[str, float]:
    """Detect target pixels of a class without source labels.

    Returns:
        AUROC of the distance beyond the limit, the share of the class's pixels
        found unknown, and the share of all others.
    """
    feat, labels = source[0][source[1] != k], source[1][source[1] != k]
    transform = whitening(feat, labels, classes)
    feat, own = feat @ transform.T, target[0] @ transform.T
    known = labels.unique()
    means = torch.full((classes, feat.shape[1]), torch.inf)
    for other in known.tolist():
        means[other] = feat[labels == other].mean(0)
    unknown = UnknownPixels(classes, quantile)
    unknown.calibrate(distances_to(feat, means), labels)
    excess = unknown.excess(distances_to(own, means))
    return rate(excess, target[1] == k)


def rate(excess: Tensor, is_own: Tensor) -> dict[str, float]:
    """Rate how far pixels (P,) are beyond their limits.

    Args:
        excess: How many times its limit a pixel's distance is.
        is_own: Whether a pixel is of the class that is to be found.
    """
    return dict(
        auroc=auroc(excess.numpy(), is_own.numpy()),
        found=(excess[is_own] > 1).float().mean().item(),
        wrong=(excess[~is_own] > 1).float().mean().item(),
        pixels=int(is_own.sum()),
    )


def distances_to(feat: Tensor, means: Tensor) -> Tensor:
    """Compute the distances (P, K); infinite for a class without a mean."""
    return torch.cdist(feat, means).nan_to_num(nan=torch.inf)


def show(found: dict[str, dict[str, float]]) -> None:
    """Print a row for each class."""
    table = Table('class left out', 'pixels', 'AUROC', 'found', 'wrong')
    for name, row in found.items():
        shares = (f'{row[key]:.1%}' for key in ('found', 'wrong'))
        table.add_row(name, str(row['pixels']), f'{row["auroc"]:.3f}', *shares)
    Console(markup=False).print(table)


if __name__ == '__main__':
    main()

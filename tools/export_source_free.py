# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Export all that source-free adaptation needs into one file.

    python tools/export_source_free.py CONFIG CHECKPOINT source_free.pth

CONFIG is a CAG config with the source. CHECKPOINT is the network to start a
stage from: of a source-only run, or of the end of a stage. One pass over the
source computes anchors, counts, the margin, the class prior and the feature
moments. The file holds tensors and plain data only, no images or labels;
tools/train.py starts from it by `load_from` (docs/source_free.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from command_line import add_cfg_options
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mmseg_cag.datasets.dataset_configs import require_images
from mmseg_cag.engine.records.descent import DESCENT, data_in, unique
from mmseg_cag.engine.stages import anchor_loader, preprocess_source
from mmseg_cag.errors import UserError, exit_on_user_error
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.inference.export_student import (
    student_checkpoint,
    student_config,
)
from mmseg_cag.launch.cfg_options import load_or_exit, merge_or_exit
from mmseg_cag.models.anchors.pseudo_label_head import (
    PixelSampler,
    PseudoLabelHead,
)
from mmseg_cag.models.segmentors.base import gt_labels, resize_labels
from mmseg_cag.models.segmentors.cag import CAGSegmentor, require_features
from mmseg_cag.models.segmentors.source_free import require_one_set
from mmseg_cag.models.student import PARTS
from mmseg_cag.progress import track

# legend: K classes, C feature channels, P pixels, h w feature map

FEW = 1000  # classes with fewer pixels are listed by name


class ClassMoments:
    """Number, mean and covariance of the pixels of each class, in float64.

    Args:
        like: Tensor (K, C) that sets shape and device.
    """

    def __init__(self, like: Tensor) -> None:
        classes, channels = like.shape
        new = like.double().new_zeros
        self.counts = new(classes)
        self.sums = new(classes, channels)
        self.products = new(classes, channels, channels)

    def add(self, feat: Tensor, labels: Tensor) -> None:
        """Add features (N, C, h, w) by labels (N, h, w); skip other labels."""
        pixels = feat.movedim(1, -1).flatten(0, 2).double()
        labels = labels.flatten()
        for k in range(len(self.counts)):
            own = pixels[labels == k]
            self.counts[k] += len(own)
            self.sums[k] += own.sum(0)
            self.products[k] += own.T @ own

    def prior(self) -> Tensor:
        """Return the class shares (K,) float32."""
        return (self.counts / self.counts.sum().clamp(min=1)).float()

    def means(self) -> Tensor:
        """Return the class means (K, C) float64."""
        return self.sums / self.counts.clamp(min=1)[:, None]

    def spread(self) -> Tensor:
        """Return symmetric roots of the covariances (K, C, C) float32."""
        means = self.means()
        outer = means[:, :, None] * means[:, None, :]
        counts = self.counts.clamp(min=1)[:, None, None]
        covariance = self.products / counts - outer
        values, vectors = torch.linalg.eigh(covariance)
        roots = values.clamp(min=0).sqrt()[:, None, :]
        return ((vectors * roots) @ vectors.mT).float()


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='CAG config with the source')
    parser.add_argument('checkpoint', help='network to start a stage from')
    parser.add_argument('dst', type=Path, help='the file to write, *.pth')
    add_cfg_options(parser)
    args = parser.parse_args()
    register_all_modules()
    cfg = load_or_exit(args.config)
    merge_or_exit(cfg, args.cfg_options)
    with exit_on_user_error():
        if args.dst.suffix != '.pth':
            raise UserError(f'{args.dst}: expected a file name *.pth')
        content = export(cfg, args.checkpoint)
    with atomic_path(args.dst) as draft:
        torch.save(content, draft)
    show(content['state_dict'])
    size = args.dst.stat().st_size
    print_log(f'{args.dst} written, {size / 1e6:.2f} MB', 'current')


def export(cfg: Config, checkpoint: str) -> dict:
    """Compute the content of the file.

    Args:
        cfg: CAG config with an ``anchor_dataloader``.
        checkpoint: Checkpoint of the network.

    Returns:
        A checkpoint of the student with the source statistics; its config is
        in ``meta``.

    Raises:
        UserError: The config uses another method or has no source, or the
            checkpoint belongs to another network, or anchors are of each
            domain.
    """
    if cfg.model.type != 'CAGSegmentor':
        raise UserError(
            f'model.type={cfg.model.type}, expected a config of CAGSegmentor'
        )
    model = MODELS.build(cfg.model)
    require_one_set(model.anchor_bank)
    require_images(anchor_loader(cfg)['dataset'], 'anchor_dataloader.dataset')
    content = student_checkpoint(cfg, checkpoint)
    content['meta']['cfg'] = student_config(cfg).pretty_text
    state = read_checkpoint(checkpoint)['state_dict']
    model.load_state_dict(state, strict=False)
    model.teacher.update_parameters(model)
    model.to(get_device()).eval()
    moments = pass_over_source(model, anchor_loader(cfg))
    bank = model.anchor_bank
    # Of all labelled pixels, like the spread; image anchors leave some out.
    means = bank.anchors if bank.level == 'pixel' else moments.means().float()
    found = {
        'stage': model.stage,
        'anchor_bank.anchors': bank.anchors,
        'anchor_bank.counts': bank.counts,
        'pseudo_label_head.margin': model.pseudo_label_head.margin,
        **limits_of(model.pseudo_label_head),
        'source_pixels.prior': moments.prior(),
        'source_pixels.means': means,
        'source_pixels.spread': moments.spread(),
    }
    content['state_dict'] |= {key: v.cpu() for key, v in found.items()}
    source = data_in(
        cfg.anchor_dataloader.dataset,
        'statistics of the source',
        cfg.get('licences'),
    )
    content['meta'][DESCENT] = unique([*content['meta'][DESCENT], *source])
    classes = content['meta']['dataset_meta']['classes']
    counts = zip(classes, moments.counts.tolist(), strict=True)
    if few := [name for name, n in counts if 0 < n < FEW]:
        print_log(
            f'{", ".join(few)}: moments from fewer than {FEW} pixels, which '
            'reveal much about each',
            'current',
        )
    return content


def limits_of(head: PseudoLabelHead) -> dict[str, Tensor]:
    """Return the limits (K,) beyond which a pixel is unknown, if any."""
    if head.unknown is None:
        return {}
    return {'pseudo_label_head.unknown.limit': head.unknown.limit}


@torch.no_grad()
def pass_over_source(model: CAGSegmentor, loader: dict) -> ClassMoments:
    """Compute a stage's initial anchors and margin, and the moments.

    Args:
        model: Model whose teacher is the network.
        loader: Config of the source's dataloader.
    """
    loader = Runner.build_dataloader(loader, seed=0)
    bank = model.anchor_bank
    centroids, moments = bank.new_centroids(), ClassMoments(bank.anchors)
    sample = None
    if model.pseudo_label_head.needs_source:
        sample = PixelSampler(100_000, len(loader.dataset), bank.anchors)
    for batch in track(loader, 'Source'):
        images, samples = preprocess_source(model, batch)
        with model.statistics_of('source', samples):
            output = model.teacher(images)
        require_features(model, output)
        feat, logits = output.feat, model.main_logits(output)
        labels = resize_labels(gt_labels(samples), feat)
        bank.accumulate(centroids, feat, logits, labels)
        moments.add(feat, labels)
        if sample is not None:
            sample.add(feat, labels)
    model.store_anchors(centroids, sample)
    return moments


def show(state: dict[str, Tensor]) -> None:
    """Print the contents of the file and their sizes."""
    table = Table('part', 'shape', 'MB', title='One file about the source')
    network = [v for k, v in state.items() if k.split('.')[0] in PARTS]
    table.add_row('network', f'{len(network)} tensors', megabytes(*network))
    for key, value in state.items():
        if key.split('.')[0] not in PARTS:
            shape = ' x '.join(map(str, value.shape)) or '1'
            table.add_row(key, shape, megabytes(value))
    Console(markup=False).print(table)


def megabytes(*values: Tensor) -> str:
    """Format the size of tensors in megabytes."""
    return f'{sum(v.nbytes for v in values) / 1e6:.3f}'


if __name__ == '__main__':
    main()

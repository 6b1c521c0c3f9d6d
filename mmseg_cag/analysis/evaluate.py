# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Evaluate a checkpoint's predictions and pseudo labels.

For finished runs only, never in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.evaluation.confusion import confusion_matrix
from mmseg_cag.models.segmentors.base import gt_labels, resize_labels
from mmseg_cag.models.segmentors.cag import CAGSegmentor
from mmseg_cag.progress import track

# legend: N images, K classes, h w feature map


def build_runner(cfg: Config, checkpoint: Path, folder: Path) -> Runner:
    """Build a runner that tests a checkpoint.

    Args:
        cfg: Training config of the checkpoint.
        checkpoint: Its weights.
        folder: Folder of the log.

    Raises:
        UserError: The config has no test set.
    """
    cfg = cfg.copy()
    if not cfg.get('test_dataloader'):
        raise UserError('test_dataloader: not set, nothing to evaluate on')
    cfg.work_dir = str(folder)
    cfg.load_from = str(checkpoint)
    cfg.resume = False
    # Its own: mmengine keeps one visualizer, with its folder, per name.
    cfg.experiment_name = '_'.join([folder.name, *checkpoint.parts[-3:]])
    cfg.launcher = 'none'
    # Stopping workers takes longer than reading these few images.
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    # Only the result matters; training has logged the rest.
    cfg.log_level = 'WARNING'
    return Runner.from_cfg(cfg)


def evaluate(cfg: Config, checkpoint: Path, folder: Path) -> float:
    """Compute a checkpoint's mIoU in percent on the config's test set."""
    metrics = build_runner(cfg, checkpoint, folder).test()
    value = round(float(metrics['mIoU']), 2)
    print_log(
        f'{checkpoint.parent.name}/{checkpoint.name}: mIoU {value:.1f} %'
    )
    return value


class Quality(NamedTuple):
    """Quality of the pseudo labels of a class, or of all.

    Attributes:
        precision: Share of correct pseudo labels; None if there are none.
        coverage: Share of the class's pixels with a pseudo label, correct or
            not; None if there are no such pixels.
        labels: Number of pseudo labels on pixels with ground truth.
        pixels: Number of the class's pixels.
    """

    precision: float | None
    coverage: float | None
    labels: int
    pixels: int


def label_confusion(runner: Runner) -> dict[str, Tensor]:
    """Count pseudo labels of the runner's test set by ground truth.

    Args:
        runner: Runner that tests a CAG checkpoint on a labelled dataset.

    Returns:
        Counts (K, K + 1) int64 by kind of pseudo label: rows are the ground
        truth, columns the pseudo label, the last column unlabelled. Counted at
        the resolution of the pseudo labels, without void pixels.

    Raises:
        UserError: The method makes no pseudo labels, or the checkpoint lacks
            the anchors that it makes them by.
    """
    model = runner.model
    if not isinstance(model, CAGSegmentor):
        raise UserError(
            f'model.type={type(model).__name__}, expected CAGSegmentor: '
            'other methods make no pseudo labels in training'
        )
    runner.load_or_resume()
    head = model.pseudo_label_head
    reads_anchors = 'anchor' in head.by or model.anchor_loss or head.unknown
    if reads_anchors and not model.anchor_bank.counts.any():
        raise UserError(
            f'{runner.cfg.load_from}: has no anchors, expected a checkpoint '
            f'of a run with {type(model).__name__}'
        )
    model.eval()
    size = model.decode_head.num_classes
    counts: dict[str, Tensor] = {}
    for batch in track(runner.test_dataloader, 'Pseudo labels'):
        batch = model.data_preprocessor(batch, False)
        truth = gt_labels(batch['data_samples']).to(batch['inputs'].device)
        for kind, labels in model.label_target(batch['inputs']).items():
            at_labels = resize_labels(truth, labels[:, None])
            found = confusion(at_labels, labels, size)
            counts[kind] = counts.get(kind, 0) + found
    return counts


def confusion(truth: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Count pixels by ground truth and pseudo label.

    Args:
        truth: True classes (N, h, w) int64; other values are ignored.
        labels: Pseudo labels (N, h, w) int64; other values are unlabelled.
        num_classes: Classes K.

    Returns:
        (K, K + 1) int64.
    """
    labels = labels.clamp(max=num_classes)
    return confusion_matrix(truth, labels, num_classes + 1)[:-1]


def quality_of(
    counts: Tensor, classes: Sequence[str]
) -> tuple[dict[str, Quality], Quality]:
    """Compute the quality by class and over all pixels.

    Args:
        counts: Pixels by ground truth and pseudo label (K, K + 1).
        classes: Names of the classes.
    """
    assigned = counts[:, :-1]
    right, labels = assigned.diagonal(), assigned.sum(0)
    covered, pixels = assigned.sum(1), counts.sum(1)
    by_class = {
        name: _quality(
            *(n[k].item() for n in (right, labels, covered, pixels))
        )
        for k, name in enumerate(classes)
    }
    sums = (n.sum().item() for n in (right, labels, covered, pixels))
    return by_class, _quality(*sums)


def _quality(right: int, labels: int, covered: int, pixels: int) -> Quality:
    return Quality(
        right / labels if labels else None,
        covered / pixels if pixels else None,
        labels,
        pixels,
    )

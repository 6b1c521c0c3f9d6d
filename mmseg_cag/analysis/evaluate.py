# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a checkpoint predicts and labels, against the ground truth.

Of a finished run, never in training.
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
        cfg: The config that the checkpoint was trained by.
        checkpoint: Its weights.
        folder: Where the log goes.

    Raises:
        UserError: The config evaluates nothing.
    """
    cfg = cfg.copy()
    if not cfg.get('test_dataloader'):
        raise UserError('test_dataloader: not set, nothing to evaluate on')
    cfg.work_dir = str(folder)
    cfg.load_from = str(checkpoint)
    cfg.resume = False
    # Its own: mmengine keeps one visualizer for each name, and its folder.
    cfg.experiment_name = '_'.join([folder.name, *checkpoint.parts[-3:]])
    cfg.launcher = 'none'
    # Workers take longer to stop than these few images take to read.
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    # Its result is what matters; the training has told the rest.
    cfg.log_level = 'WARNING'
    return Runner.from_cfg(cfg)


def evaluate(cfg: Config, checkpoint: Path, folder: Path) -> float:
    """Compute a checkpoint's mIoU in percent over the config's test set."""
    metrics = build_runner(cfg, checkpoint, folder).test()
    value = round(float(metrics['mIoU']), 2)
    print_log(
        f'{checkpoint.parent.name}/{checkpoint.name}: mIoU {value:.1f} %'
    )
    return value


class Quality(NamedTuple):
    """How good the pseudo labels of a class, or of all, are.

    Attributes:
        precision: Share of right ones among them; None if there are none.
        coverage: Share of the true pixels that have a pseudo label, right or
            wrong; None if there are no such pixels.
        labels: Number of pseudo labels on pixels of known truth.
        pixels: Number of true pixels.
    """

    precision: float | None
    coverage: float | None
    labels: int
    pixels: int


def label_confusion(runner: Runner) -> dict[str, Tensor]:
    """Count pseudo labels of the runner's test set by their truth.

    Args:
        runner: One that tests a checkpoint of CAG, on a data set with labels.

    Returns:
        By kind of pseudo label (K, K + 1) int64: rows are the truth, columns
        the pseudo label, the last one none. Pixels without truth are left
        out. Counted at the size of the pseudo labels.

    Raises:
        UserError: The method has no pseudo labels of its own.
    """
    model = runner.model
    if not isinstance(model, CAGSegmentor):
        raise UserError(
            f'model.type={type(model).__name__}, expected CAGSegmentor: '
            'other methods make no pseudo labels in training'
        )
    runner.load_or_resume()
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
        truth: True classes (N, h, w) int64; others count for nothing.
        labels: Pseudo labels (N, h, w) int64; others are none.
        num_classes: Classes K.

    Returns:
        (K, K + 1) int64.
    """
    labels = labels.clamp(max=num_classes)
    return confusion_matrix(truth, labels, num_classes + 1)[:-1]


def quality_of(
    counts: Tensor, classes: Sequence[str]
) -> tuple[dict[str, Quality], Quality]:
    """Compute the quality by class, and over all pixels.

    Args:
        counts: Pixels by truth and pseudo label (K, K + 1).
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

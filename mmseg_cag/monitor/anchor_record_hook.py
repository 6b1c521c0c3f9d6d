# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor

from mmseg_cag.models.segmentors.base import bare_model, current_stage

from .record_file import RecordFile
from .target_record import DIGITS, anchor_distances, margin_record

ANCHORS = 'anchors.jsonl'

# legend: K classes, C feature channels


@HOOKS.register_module()
class AnchorRecordHook(Hook):
    """Record the anchors' geometry at the start of each stage.

    Writes a line to ``anchors.jsonl`` in the work dir: distances between
    anchors, drift since the previous stage, pixel counts, and the margin. Runs
    without anchors write none.
    """

    # Runs after AnchorHook.
    priority = 'LOW'

    def before_train(self, runner: Runner) -> None:
        """Continue from the existing records."""
        self.rewind(runner)

    @master_only
    def rewind(self, runner: Runner) -> None:
        """Drop records of later stages and keep the current anchors.

        A stage that starts at the resumed iteration starts again.
        """
        self.file = RecordFile(Path(runner.work_dir, ANCHORS))
        self.file.keep(lambda record: record['iter'] < runner.iter)
        self.before = _anchors_of(runner)

    @master_only
    def before_stage(self, runner: Runner) -> None:
        """Record the anchors of a new stage."""
        now = _anchors_of(runner)
        if now is None or not now[1].any():
            return
        classes = runner.train_dataloader.dataset.metainfo['classes']
        margin = bare_model(runner).pseudo_label_head.margin
        anchors, counts = now
        self.file.append(
            {
                'iter': runner.iter,
                'stage': current_stage(runner),
                'margin': margin_record(margin, classes),
                'distances': _rows(anchor_distances(anchors, counts)),
                'drift': anchor_drift(self.before, now, classes),
                'counts': dict(zip(classes, counts.tolist(), strict=True)),
            }
        )
        self.before = now


def anchor_drift(
    before: tuple[Tensor, Tensor],
    now: tuple[Tensor, Tensor],
    classes: list[str],
) -> dict[str, float]:
    """Compute the drift of each anchor since the previous stage.

    Args:
        before: Anchors (K, C) and their counts (K,), 0 where there is none.
        now: Likewise.
        classes: Names of the K classes.

    Returns:
        Euclidean distance by class, for classes with both anchors.
    """
    moved = (now[0].double() - before[0].double()).norm(dim=1)
    both = (before[1] > 0) & (now[1] > 0)
    return {
        name: round(distance, DIGITS)
        for name, distance, is_there in zip(
            classes, moved.tolist(), both.tolist(), strict=True
        )
        if is_there
    }


def _anchors_of(runner: Runner) -> tuple[Tensor, Tensor] | None:
    bank = getattr(bare_model(runner), 'anchor_bank', None)
    if bank is None:
        return None
    return bank.anchors.cpu().clone(), bank.counts.cpu().clone()


def _rows(distances: Tensor) -> list[list[float | None]]:
    """Convert distances (K, K) to lists, None for missing anchors."""
    return [
        [round(x, DIGITS) if x < float('inf') else None for x in row]
        for row in distances.tolist()
    ]

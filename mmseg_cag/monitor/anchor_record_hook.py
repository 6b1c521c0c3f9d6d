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
    """Record the anchors' geometry as each stage begins.

    A line of ``anchors.jsonl`` in the work dir: the distances between the
    anchors, how far each has moved since the stage before, what each is a
    mean of, and the margin. Runs without anchors have none.
    """

    # After AnchorHook has made them.
    priority = 'LOW'

    def before_train(self, runner: Runner) -> None:
        """Go on from the records that there are."""
        self.rewind(runner)

    @master_only
    def rewind(self, runner: Runner) -> None:
        """Drop what is of later stages, and keep the anchors that there are.

        A stage that begins where the run goes on begins again.
        """
        self.file = RecordFile(Path(runner.work_dir, ANCHORS))
        self.file.keep(lambda record: record['iter'] < runner.iter)
        self.before = _anchors_of(runner)

    @master_only
    def before_stage(self, runner: Runner) -> None:
        """Record the anchors of a stage that begins."""
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
    """Compute how far each anchor is from the one before.

    Args:
        before: Anchors (K, C) and their counts (K,), 0 where there is none.
        now: Likewise.
        classes: Names of the K classes.

    Returns:
        Euclidean distance by class, of those that have both.
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
    """Write distances (K, K), None from or to a class without an anchor."""
    return [
        [round(x, DIGITS) if x < float('inf') else None for x in row]
        for row in distances.tolist()
    ]

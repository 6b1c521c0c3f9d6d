# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import mean

from .alarm import Alarm


class CoverageCollapse:
    """Too few target pixels that have a pseudo label, in all or of a class.

    The cross entropy is a mean over active pixels: where few are left, they
    have all its weight, and the student learns the target from them alone.

    Args:
        window: Records that are averaged.
        least: Share of the pixels that must be active.
        fall: Share of what was active in the stage's first records that must
            still be.
        floor: Share of the pixels that the student predicts a class on, from
            which the class must have pseudo labels.
        class_least: How many of these, as a share of the former.
    """

    def __init__(
        self,
        window: int = 5,
        least: float = 0.01,
        fall: float = 0.1,
        floor: float = 0.01,
        class_least: float = 0.02,
    ) -> None:
        self.least = least
        self.fall = fall
        self.floor = floor
        self.class_least = class_least
        self._recent: deque[dict] = deque(maxlen=window)
        self._stage: int | None = None
        self._start: float | None = None

    def look(self, record: dict) -> list[Alarm]:
        """List what lacks pseudo labels as of this record."""
        if 'active' not in record:
            return []
        if record.get('stage') != self._stage:
            self._stage = record.get('stage')
            self._start = None
            self._recent.clear()
        self._recent.append(record)
        if len(self._recent) < self._recent.maxlen:
            return []
        active = mean(r['active'] for r in self._recent)
        if self._start is None:
            self._start = active
        if active < max(self.least, self.fall * self._start):
            return [Alarm('coverage', None, self._tell(active))]
        return self._look_at_classes(self._recent)

    def _look_at_classes(self, records: Sequence[dict]) -> list[Alarm]:
        alarms = []
        for name in records[-1]['predicted']:
            predicted = mean(r['predicted'][name] for r in records)
            labelled = mean(
                r['active'] * r['pseudo'].get(name, 0) for r in records
            )
            enough = self.class_least * predicted
            if predicted >= self.floor and labelled < enough:
                message = _tell_class(predicted, labelled)
                alarms.append(Alarm('coverage', name, message))
        return alarms

    def _tell(self, active: float) -> str:
        return (
            f'{active:.2%} of the target pixels have a pseudo label, '
            f"{self._start:.2%} in the stage's first looks: the student "
            'learns next to nothing of the target; lower margin (or '
            "probability) of model.pseudo_label_head, or take margin='auto'"
        )


def _tell_class(predicted: float, labelled: float) -> str:
    return (
        f'the student predicts it on {predicted:.2%} of the target pixels, '
        f'but {labelled:.3%} have it as a pseudo label, so it will be '
        'unlearned; see that the source labels have it (counts in '
        'anchors.jsonl), or set model.pseudo_label_head.per_class=True with '
        "margin='auto'"
    )

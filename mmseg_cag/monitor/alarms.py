# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import NamedTuple, Protocol

from mmengine.dist import master_only
from mmengine.runner import Runner

from mmseg_cag.models.segmentors.base import current_stage

from .record_file import RecordFile

ALARMS = 'alarms.jsonl'


class Alarm(NamedTuple):
    """An alarm about adaptation.

    Attributes:
        kind: Kind of the alarm.
        name: Class that it concerns, or None.
        message: One line with the problem and a remedy.
    """

    kind: str
    name: str | None
    message: str


@master_only
def write_alarm(runner: Runner, alarm: Alarm) -> None:
    """Write an alarm to the log and to ``alarms.jsonl`` in the work dir."""
    iteration = runner.iter + 1
    about = f' of {alarm.name}' if alarm.name else ''
    runner.logger.warning(
        f'Alarm, {alarm.kind}{about}, iteration {iteration}: {alarm.message}'
    )
    RecordFile(Path(runner.work_dir, ALARMS)).append(
        {
            'iter': iteration,
            'stage': current_stage(runner),
            'alarm': alarm.kind,
            'class': alarm.name,
            'message': alarm.message,
        }
    )


class Rule(Protocol):
    """Rule that checks a run's records in order."""

    def look(self, record: dict) -> list[Alarm]:
        """Return the problems found at this record."""


class AlarmRules:
    """Apply rules to each record; raise each alarm once per occurrence.

    The state depends only on the records: replaying those of an interrupted
    run restores it.

    Args:
        rules: The rules.
        rest: Records without an alarm before it is raised again.
    """

    def __init__(self, rules: Sequence[Rule], rest: int = 5) -> None:
        self.rules = rules
        self.rest = rest
        self._position = 0
        self._last: dict[tuple[str, str | None], int] = {}

    def look(self, record: dict) -> list[Alarm]:
        """Return the alarms that this record raises."""
        self._position += 1
        return [
            alarm
            for rule in self.rules
            for alarm in rule.look(record)
            if self._is_new(alarm)
        ]

    def _is_new(self, alarm: Alarm) -> bool:
        key = (alarm.kind, alarm.name)
        last = self._last.get(key)
        self._last[key] = self._position
        return last is None or self._position - last > self.rest


class CoverageCollapse:
    """Too few target pixels with a pseudo label, overall or of a class.

    The cross entropy is a mean over active pixels: if few are left, they get
    all the weight, and the student learns the target from them only.

    A method without stages, with a mean teacher, labels every pixel and
    weights all by the share of active ones, which may start at 0: there the
    fall is measured from the maximum, and no class is named.

    Args:
        window: Number of averaged records.
        least: Minimum share of active pixels.
        fall: Minimum share of active pixels relative to the stage's first
            records.
        floor: Share of the student's predictions from which a class must have
            pseudo labels.
        class_least: Minimum pseudo labels of a class relative to its
            predictions.
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
        """Return the alarms about missing pseudo labels at this record."""
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
        if self._stage is None:
            self._start = max(active, self._start or 0)
            fallen = active < self.fall * self._start > self.fall * self.least
            return [Alarm('coverage', None, self._tell_fall(active))] * fallen
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
            f"{self._start:.2%} in the stage's first records: the student "
            'hardly learns from the target; lower margin (or probability) of '
            "model.pseudo_label_head, or set margin='auto'"
        )

    def _tell_fall(self, active: float) -> str:
        return (
            f'{active:.2%} of the target pixels are active, after at most '
            f'{self._start:.2%}: the student hardly learns from the target; '
            'lower the learning rate, or the threshold of active pixels, such '
            'as model.threshold'
        )


def _tell_class(predicted: float, labelled: float) -> str:
    return (
        f'the student predicts it on {predicted:.2%} of the target pixels, '
        f'but {labelled:.3%} have it as a pseudo label, so it will be '
        'unlearned; check that the source labels have it (counts in '
        'anchors.jsonl), or set model.pseudo_label_head.per_class=True with '
        "margin='auto'"
    )


class Disagreement:
    """Disagreement of the student with its state at the start of the stage.

    Measured by Cohen's kappa, the agreement beyond chance: two networks that
    both predict mostly road agree on most pixels, regardless of the rest.

    Args:
        window: Number of averaged records.
        fall: Minimum kappa relative to the stage's first record, when student
            and teacher differ only by dropout and batch norm.
    """

    def __init__(self, window: int = 3, fall: float = 0.5) -> None:
        self.fall = fall
        self._recent: deque[float] = deque(maxlen=window)
        self._stage: int | None = None
        self._start: float | None = None

    def look(self, record: dict) -> list[Alarm]:
        """Return an alarm if student and teacher disagree too much."""
        if 'kappa' not in record:
            return []
        if record.get('stage') != self._stage or self._start is None:
            self._stage = record.get('stage')
            self._start = record['kappa']
            self._recent.clear()
        self._recent.append(record['kappa'])
        now = mean(self._recent)
        full = len(self._recent) == self._recent.maxlen
        if not full or now >= self.fall * self._start:
            return []
        message = (
            f'kappa of student and teacher is {now:.2f}, down from '
            f'{self._start:.2f} at the start of the stage: the student '
            "contradicts the teacher of its labels; lower the optimizer's lr "
            'and return to an earlier checkpoint'
        )
        return [Alarm('disagreement', None, message)]


class ExplodedClass:
    """A class that the student predicts unexplainably often.

    A share is explained by the class's frequency in the source labels and in
    the student's predictions at the start of the run. Odds p / (1 - p) are
    compared: a class of 40 % cannot become six times as frequent, but its odds
    can.

    Args:
        window: Number of averaged records.
        floor: Share of the pixels from which a class is watched: a record
            covers a few crops, and a nearby bus fills a third of one.
        odds: Factor of the explained odds that triggers the alarm.
    """

    def __init__(
        self, window: int = 8, floor: float = 0.1, odds: float = 6.0
    ) -> None:
        self.floor = floor
        self.odds = odds
        self._recent: deque[dict] = deque(maxlen=window)
        self._start: dict[str, float] = {}
        self._source: dict[str, float] = {}
        self._looks = 0

    def look(self, record: dict) -> list[Alarm]:
        """Return the classes that explode at this record."""
        if 'source' not in record:
            return []
        self._start = self._start or record['predicted']
        self._looks += 1
        for name, share in record['source'].items():
            mean_so_far = self._source.get(name, 0.0)
            step = (share - mean_so_far) / self._looks
            self._source[name] = mean_so_far + step
        self._recent.append(record['predicted'])
        if len(self._recent) < self._recent.maxlen:
            return []
        return [a for name in self._start for a in self._look_at(name)]

    def _look_at(self, name: str) -> list[Alarm]:
        share = mean(predicted[name] for predicted in self._recent)
        explained = max(self._start[name], self._source[name])
        # A class missing in some crops is not absent everywhere.
        limit = self.odds * _odds(max(explained, 1e-3))
        if share < self.floor or _odds(share) <= limit:
            return []
        message = (
            f'the student predicts it on {share:.2%} of the target pixels, '
            f'the source has it on {self._source[name]:.2%} and the run '
            f"started with {self._start[name]:.2%}; lower the optimizer's lr, "
            'or first re-estimate batch-norm statistics on the target'
        )
        return [Alarm('exploded_class', name, message)]


def _odds(share: float) -> float:
    return share / max(1 - share, 1e-6)


@dataclass
class ClassHistory:
    """History of a class in the student's predictions.

    Attributes:
        looks: Records up to the last one with the class.
        seen: Number of these with the class.
        total: Sum of its shares in them.
        absent: Records since then.
    """

    looks: int = 0
    seen: int = 0
    total: float = 0.0
    absent: int = 0

    @property
    def mean(self) -> float:
        """Return its mean pixel share in records with the class."""
        return self.total / max(self.looks, 1)

    def add(self, share: float, is_present: bool) -> None:
        """Add a record."""
        if not is_present:
            self.absent += 1
            return
        self.looks += 1 + self.absent
        self.seen += 1
        self.total += share
        self.absent = 0


class VanishedClass:
    """A class that the student no longer predicts.

    A record covers a few crops, which may lack a class, so a class is reported
    only if its absence is unlikely to be chance: with p the share of earlier
    records with it, n records without it have probability (1 - p) ^ n. A class
    counts as absent below a tenth of its mean share.

    Args:
        chance: Probability below which the absence is reported.
        floor: Mean pixel share from which a class is watched: below it a
            step's crops have a handful of pixels, mostly noise.
        faint: Share of its mean below which a class counts as absent.
        warm_up: Minimum number of records with the class.
    """

    def __init__(
        self,
        chance: float = 1e-4,
        floor: float = 1e-3,
        faint: float = 0.1,
        warm_up: int = 3,
    ) -> None:
        self.chance = chance
        self.floor = floor
        self.faint = faint
        self.warm_up = warm_up
        self._history: dict[str, ClassHistory] = {}

    def look(self, record: dict) -> list[Alarm]:
        """Return the classes that vanish at this record."""
        alarms = []
        for name, share in record.get('predicted', {}).items():
            known = self._history.setdefault(name, ClassHistory())
            limit = self.faint * known.mean
            known.add(share, is_present=share > limit)
            if self._is_missed(known):
                alarms.append(Alarm('vanished_class', name, _tell(known)))
        return alarms

    def _is_missed(self, known: ClassHistory) -> bool:
        if known.seen < self.warm_up or known.mean < self.floor:
            return False
        # One extra record without it avoids a probability of 1.
        presence = known.seen / (known.looks + 1)
        return known.absent * math.log1p(-presence) < math.log(self.chance)


def _tell(known: ClassHistory) -> str:
    return (
        f'the student predicted it in {known.seen} of {known.looks} records, '
        f'on {known.mean:.2%} of the pixels, and in none of the last '
        f'{known.absent}; check that it has source labels and pseudo labels '
        "(pseudo in monitor.jsonl), lower the optimizer's lr or stop "
        'adaptation earlier'
    )

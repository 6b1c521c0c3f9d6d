# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math
from dataclasses import dataclass

from .alarm import Alarm


@dataclass
class Sightings:
    """How often the student has predicted a class.

    Attributes:
        looks: Records up to the last that had it.
        seen: How many of them had it.
        total: Sum of its shares in them.
        absent: Records since then.
    """

    looks: int = 0
    seen: int = 0
    total: float = 0.0
    absent: int = 0

    @property
    def mean(self) -> float:
        """Its mean share of the pixels while it was predicted."""
        return self.total / max(self.looks, 1)

    def add(self, share: float, is_present: bool) -> None:
        """Take in a record."""
        if not is_present:
            self.absent += 1
            return
        self.looks += 1 + self.absent
        self.seen += 1
        self.total += share
        self.absent = 0


class VanishedClass:
    """A class that the student predicted and predicts no more.

    A record is of a few crops, which may have none of a class, so a class is
    missed only where its absence can hardly be chance: with p the share of
    earlier records that had it, n records without it happen with probability
    (1 - p) ^ n. A class counts as absent below a tenth of its mean share.

    Args:
        chance: Probability below which the absence is no chance.
        floor: Mean share of the pixels from which a class is watched: of the
            crops of a step, less is a handful of pixels, mostly noise.
        faint: Share of its mean below which a class counts as absent.
        warm_up: Records that a class must have been seen in.
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
        self._sightings: dict[str, Sightings] = {}

    def look(self, record: dict) -> list[Alarm]:
        """List the classes that are missed as of this record."""
        alarms = []
        for name, share in record.get('predicted', {}).items():
            known = self._sightings.setdefault(name, Sightings())
            limit = self.faint * known.mean
            known.add(share, is_present=share > limit)
            if self._is_missed(known):
                alarms.append(Alarm('vanished_class', name, _tell(known)))
        return alarms

    def _is_missed(self, known: Sightings) -> bool:
        if known.seen < self.warm_up or known.mean < self.floor:
            return False
        # One more look without it keeps a class seen always from certainty.
        presence = known.seen / (known.looks + 1)
        return known.absent * math.log1p(-presence) < math.log(self.chance)


def _tell(known: Sightings) -> str:
    return (
        f'the student predicted it in {known.seen} of {known.looks} looks, '
        f'on {known.mean:.2%} of the pixels, and in none of the last '
        f'{known.absent}; see that the source labels have it and whether it '
        "has pseudo labels (pseudo in monitor.jsonl), lower the optimizer's "
        'lr or end adaptation earlier'
    )

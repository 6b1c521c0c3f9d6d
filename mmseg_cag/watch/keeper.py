# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations


class Keeper:
    """Choose the frames most worth labelling, of a stream, with a budget.

    Of frames that are alike only the most surprising is kept, so that the
    labels are of different places.

    Args:
        budget: Frames that are kept at most.
        apart: Frames after which one is no longer alike.

    Attributes:
        kept: Worth by number of the frame.
    """

    def __init__(self, budget: int, apart: int) -> None:
        self.budget = budget
        self.apart = apart
        self.kept: dict[int, float] = {}

    def offer(self, number: int, worth: float) -> tuple[bool, list[int]]:
        """Decide on a frame.

        Args:
            number: Of the frame; greater than those before.
            worth: Of the label; what is normal has none.

        Returns:
            Whether it is kept, and which others are dropped for it.
        """
        alike = [n for n in self.kept if number - n < self.apart]
        rivals = alike
        if not alike and len(self.kept) >= self.budget:
            rivals = [min(self.kept, key=self.kept.get, default=number)]
        better = all(worth > self.kept.get(n, worth) for n in rivals)
        if worth <= 0 or not self.budget or not better:
            return False, []
        for rival in rivals:
            del self.kept[rival]
        self.kept[number] = worth
        return True, rivals

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations


class Keeper:
    """Choose the frames of a stream most worth labelling, within a budget.

    Of similar frames only the most surprising one is kept, so that the labels
    cover different places.

    Args:
        budget: Maximum number of kept frames.
        apart: Number of frames after which frames are no longer similar.

    Attributes:
        kept: Worth by frame number.
    """

    def __init__(self, budget: int, apart: int) -> None:
        self.budget = budget
        self.apart = apart
        self.kept: dict[int, float] = {}

    def offer(self, number: int, worth: float) -> tuple[bool, list[int]]:
        """Decide on a frame.

        Args:
            number: Frame number; increasing.
            worth: Worth of its label; 0 for a normal frame.

        Returns:
            Whether it is kept, and which others it replaces.
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

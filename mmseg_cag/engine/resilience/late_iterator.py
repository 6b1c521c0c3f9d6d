# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Batches that are loaded when they are wanted, with mmengine 0.10.7 too."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader


class LateIterator:
    """Endless batches of a data loader, which begins with the first.

    mmengine 0.10.7 starts the workers as it builds the loop, before a hook
    could shield them from signals, and loads all that a resumed run skips.

    Args:
        loader: A data loader that `can_skip`.
    """

    def __init__(self, loader: DataLoader) -> None:
        loader._iterator = None  # of persistent workers that have started
        self._loader = loader
        self._batches: Iterator | None = None
        self._asked_in_vain = 0
        self.skip_iter(0)

    def skip_iter(self, count: int) -> None:
        """Begin after the first batches."""
        sampler = self._loader.sampler
        samples = count * self._loader.batch_size
        if hasattr(sampler, 'skip'):
            sampler.skip(samples)
        else:
            order = sampler._indices_of_rank()
            sampler.indices = itertools.islice(order, samples, None)

    def resume(self, count: int) -> None:
        """Skip batches, which the loop then asks for all the same."""
        self.skip_iter(count)
        self._asked_in_vain = count

    def __iter__(self) -> LateIterator:
        return self

    def __next__(self) -> Any:
        if self._asked_in_vain:
            self._asked_in_vain -= 1
            return None
        if self._batches is None:
            self._batches = iter(self._loader)
        return next(self._batches)


def load_late(loop: BaseLoop) -> None:
    """Let a loop that has its workers already begin with them anew."""
    data = getattr(loop, 'dataloader_iterator', None)
    begun = getattr(data, '_iterator', None) is not None
    if begun and can_skip(loop.dataloader):
        loop.dataloader_iterator = LateIterator(loop.dataloader)


def can_skip(loader: DataLoader) -> bool:
    """Tell whether batches, of one size, can be skipped by their number."""
    sampler = loader.sampler  # UDASampler can, and mmengine's endless one
    endless = isinstance(sampler, InfiniteSampler) or hasattr(sampler, 'skip')
    return endless and loader.batch_size is not None


def skip_what_was_seen(runner: Runner) -> None:
    """Let the data of a resumed run begin after what it has seen."""
    data = getattr(runner.train_loop, 'dataloader_iterator', None)
    if isinstance(data, LateIterator):
        data.resume(runner.iter)

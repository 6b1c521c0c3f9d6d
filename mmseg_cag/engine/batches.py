# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.logging import print_log
from torch.utils.data import DataLoader

from mmseg_cag.errors import UserError


class TrainBatches:
    """Endless batches of a data loader, whose workers start with the first.

    mmengine 0.10.7 starts them as it builds its loop, before a hook could let
    them ignore signals, and loads all that a resumed run skips.

    Args:
        loader: The data loader, which nobody has iterated over yet.
    """

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader
        self._batches = _endless(loader)

    def __iter__(self) -> Iterator:
        return self

    def __next__(self) -> Any:
        return next(self._batches)

    def skip(self, count: int) -> None:
        """Begin after the first batches; they are not loaded if possible."""
        loader, sampler = self._loader, self._loader.sampler
        # A batch sampler of one's own may take any number of samples.
        samples = count * (loader.batch_size or 0)
        if samples and hasattr(sampler, 'skip'):
            sampler.skip(samples)
        elif samples and isinstance(sampler, InfiniteSampler):
            # That of mmengine 0.10.7.
            rest = itertools.islice(sampler.indices, samples, None)
            sampler.indices = rest
        else:
            chooser = sampler if loader.batch_size else loader.batch_sampler
            print_log(
                f'{type(chooser).__name__} cannot skip: {count} batches are '
                'loaded and dropped, as UDASampler would not',
                'current',
                logging.WARNING,
            )
            for _ in range(count):
                next(self)


def stop_workers(loader: DataLoader) -> None:
    """End the worker processes of a data loader, also persistent ones.

    A worker whose queue is collected together with the runner, in a cycle,
    only looks up after 5 seconds.
    """
    loader._iterator = None


def _endless(loader: DataLoader) -> Iterator:
    for epoch in itertools.count(1):
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise UserError(
                'train_dataloader: has no batch, expected at least as many '
                'images as batch_size'
            )
        # As mmengine does at the end of a sampler that has one.
        for owner in (loader, loader.batch_sampler):
            sampler = getattr(owner, 'sampler', None)
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(epoch)
                break

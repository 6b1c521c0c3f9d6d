# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from .uda_dataset import UDADataset


@DATA_SAMPLERS.register_module()
class UDASampler(Sampler):
    """Endless (key, source index, target index) for a `UDADataset`.

    The key, (seed, position), seeds the random transforms. Position k of the
    joint stream of all ranks takes entry k of endlessly concatenated
    permutations of each domain, so every source and every target image is
    seen once before one is seen twice, whatever the lengths of the two sets
    and the number of ranks. The k-th item is a pure function of (seed, rank,
    world size, k): resuming is `skip`, in no time.

    Args:
        dataset: The pair of domains.
        seed: Seed of the permutations; None shares a random one over ranks.

    Raises:
        TypeError: ``dataset`` is no `UDADataset`.
    """

    def __init__(self, dataset: UDADataset, seed: int | None = None) -> None:
        if not isinstance(dataset, UDADataset):
            raise TypeError(
                'UDASampler: expected a UDADataset as dataset.type, got '
                f'{type(dataset).__name__}'
            )
        self.rank, self.world_size = get_dist_info()
        self.lengths = (len(dataset.source), len(dataset.target))
        self.seed = sync_random_seed() if seed is None else seed
        self._skipped = 0

    def __iter__(self) -> Iterator[tuple[tuple[int, int], int, int]]:
        """Yield ((seed, position), source index, target index) endlessly."""
        orders = [_Order(n, self.seed + d) for d, n in enumerate(self.lengths)]
        step = self._skipped
        while True:
            position = step * self.world_size + self.rank
            source, target = (order[position] for order in orders)
            yield (self.seed, position), source, target
            step += 1

    def __len__(self) -> int:
        """Source images; only the length of what is called an epoch."""
        return self.lengths[0]

    def skip(self, num_samples: int) -> None:
        """Start the next iteration after this rank's first samples.

        Args:
            num_samples: How many samples this rank has consumed already.
        """
        self._skipped = num_samples

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the stream has no epochs."""


class _Order:
    """Endlessly concatenated random permutations of range(length)."""

    def __init__(self, length: int, seed: int) -> None:
        self.length = length
        self.seed = seed
        self._epoch = -1
        self._permutation: list[int] = []

    def __getitem__(self, position: int) -> int:
        epoch, offset = divmod(position, self.length)
        if epoch != self._epoch:
            generator = torch.Generator()
            # Two primes keep seeds of neighbouring runs and epochs apart.
            generator.manual_seed(self.seed * 1_000_003 + epoch * 7_919)
            self._permutation = torch.randperm(
                self.length, generator=generator
            ).tolist()
            self._epoch = epoch
        return self._permutation[offset]

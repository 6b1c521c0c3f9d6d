# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from mmseg_cag.errors import UserError

from .uda_dataset import UDADataset


@DATA_SAMPLERS.register_module()
class UDASampler(Sampler):
    """Endless (key, index of each domain by name) for a `UDADataset`.

    The key, (seed, position), seeds the random transforms. Position k of the
    joint stream of all ranks takes entry k of each domain's order. The k-th
    item is a pure function of (seed, rank, world size, k): resuming is
    `skip`, in no time.

    Args:
        dataset: The domains.
        orders: Config of the order of some domains; `ShuffledOrder` is that
            of the others. One is built with ``dataset``, that of the domain,
            and ``seed``, and maps a position to an index.
        seed: Seed of the orders; None shares a random one over ranks.

    Raises:
        TypeError: ``dataset`` is no `UDADataset`.
        UserError: An order is of no domain.
    """

    def __init__(
        self,
        dataset: UDADataset,
        orders: dict[str, dict] | None = None,
        seed: int | None = None,
    ) -> None:
        if not isinstance(dataset, UDADataset):
            raise TypeError(
                'UDASampler: expected a UDADataset as dataset.type, got '
                f'{type(dataset).__name__}'
            )
        orders = orders or {}
        for name in orders:
            if name not in dataset.domains:
                raise UserError(
                    f'UDASampler: orders names {name}, expected one of the '
                    f'domains {", ".join(dataset.domains)}'
                )
        self.rank, self.world_size = get_dist_info()
        self.length = len(dataset)
        self.seed = sync_random_seed() if seed is None else seed
        self.orders = {
            name: DATA_SAMPLERS.build(
                {
                    **orders.get(name, dict(type='ShuffledOrder')),
                    'dataset': domain,
                    'seed': self.seed + number,
                }
            )
            for number, (name, domain) in enumerate(dataset.domains.items())
        }
        self._skipped = 0

    def __iter__(self) -> Iterator[tuple[tuple[int, int], dict[str, int]]]:
        """Yield ((seed, position), index by domain) endlessly."""
        step = self._skipped
        while True:
            position = step * self.world_size + self.rank
            yield (
                (self.seed, position),
                {name: order[position] for name, order in self.orders.items()},
            )
            step += 1

    def __len__(self) -> int:
        """Images of the first domain; only the length of an epoch."""
        return self.length

    def skip(self, num_samples: int) -> None:
        """Start the next iteration after this rank's first samples.

        Args:
            num_samples: How many samples this rank has consumed already.
        """
        self._skipped = num_samples

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the stream has no epochs."""


@DATA_SAMPLERS.register_module()
class ShuffledOrder:
    """Endlessly concatenated random permutations of a data set.

    Every image is seen once before one is seen twice, whatever the number of
    ranks.

    Args:
        dataset: The data set.
        seed: Seed of the permutations.
    """

    def __init__(self, dataset: Sized, seed: int) -> None:
        self.length = len(dataset)
        self.seed = seed
        self._epoch = -1
        self._permutation: list[int] = []

    def __getitem__(self, position: int) -> int:
        """Get the index at a position, from 0."""
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

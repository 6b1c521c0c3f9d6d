# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import random
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmseg.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import Dataset, Sampler

from mmseg_cag.errors import UserError

from .dataset_configs import require_images
from .skip_bad_files import BAD_FILE, one_line, skipping
from .wanted import Wanted, wanting


@DATASETS.register_module()
class UDADataset(Dataset):
    """Dataset whose items have one sample of each domain.

    An item is ``{'inputs': {'source': image, 'target': image},
    'data_samples': {same}}``, images uint8 (3, H, W), which mmengine's
    ``pseudo_collate`` turns into lists by domain. Pipelines of unlabelled
    domains must not load labels; a labelled sample raises an error.

    Args:
        domains: Dataset config of each domain, by name, of any mmseg type. The
            first gives the length, the last the palette.
        labelled: Names of the labelled domains.
        skip_bad_files: Whether to replace unreadable samples by others drawn
            by the key; else such a file ends the run.

    Raises:
        UserError: There are no domains, one is empty, a labelled one has no
            dataset, or classes differ.
    """

    def __init__(
        self,
        domains: dict[str, dict],
        labelled: Sequence[str] = ('source',),
        skip_bad_files: bool = False,
    ) -> None:
        if not domains:
            raise UserError(
                'UDADataset: domains is empty, expected data sets by name, '
                'such as source and target'
            )
        for name in labelled:
            if name not in domains:
                raise UserError(
                    f'UDADataset: labelled names {name}, expected one of the '
                    f'domains {", ".join(domains)}'
                )
        self.labelled = tuple(labelled)
        self.domains = {
            name: build_domain(name, cfg, skip_bad_files)
            for name, cfg in domains.items()
        }
        self._require_equal_classes()

    def _require_equal_classes(self) -> None:
        (first, one), *others = self.domains.items()
        for name, dataset in others:
            classes = [list(d.metainfo['classes']) for d in (one, dataset)]
            if classes[0] != classes[1]:
                raise UserError(
                    f'UDADataset: {first} and {name} must have the same '
                    f'classes, got {classes[0]} and {classes[1]}'
                )

    @property
    def metainfo(self) -> dict:
        """Classes and palette shared by the domains."""
        return list(self.domains.values())[-1].metainfo

    def __len__(self) -> int:
        """Number of images of the first domain."""
        return len(next(iter(self.domains.values())))

    def __getitem__(self, item: tuple[tuple[int, int], dict]) -> dict:
        """Load one sample of each domain.

        Args:
            item: (key, entry of each domain's order by name), as `UDASampler`
                yields it; random transforms depend only on the key.

        Raises:
            UserError: A file is bad, or an unlabelled domain has labels.
        """
        key, entries = item
        with seeded_transforms(key):
            samples = {
                name: load_entry(self.domains[name], entry, key)
                for name, entry in entries.items()
            }
        for name, sample in samples.items():
            unlabelled = name not in self.labelled
            if unlabelled and 'gt_sem_seg' in sample['data_samples']:
                raise UserError(
                    f'UDADataset: the pipeline of {name} loads labels, '
                    'expected one without LoadLabelIds or LoadAnnotations, '
                    f'or {name} among labelled'
                )
        return {
            part: {name: sample[part] for name, sample in samples.items()}
            for part in ('inputs', 'data_samples')
        }


def build_domain(
    name: str, cfg: dict, skip_bad_files: bool, owner: str = 'UDADataset'
) -> Dataset:
    """Build the dataset of a domain.

    Args:
        name: Name of the domain.
        cfg: The dataset's config.
        skip_bad_files: Whether to skip bad files.
        owner: Owner of the domain, for errors.

    Raises:
        UserError: It is missing or empty.
    """
    try:
        dataset = DATASETS.build(cfg)
    except Exception:
        # mmengine's error names neither folder nor key.
        require_images(cfg, f'{owner}: {name}')
        raise
    return skipping(dataset) if skip_bad_files else dataset


def load_entry(
    dataset: Dataset, entry: int | Wanted, key: Sequence[int]
) -> dict:
    """Load a sample, exposing the class it was drawn for, if any."""
    if isinstance(entry, Wanted):
        with wanting(entry.category):
            return load_or_stop(dataset, entry.index, key)
    return load_or_stop(dataset, entry, key)


def load_or_stop(dataset: Dataset, index: int, key: Sequence[int]) -> dict:
    """Load a sample; turn a bad file into a one-line error or skip it.

    Args:
        dataset: The dataset; one with ``load`` may skip bad files.
        index: Index of the sample.
        key: Non-negative integers that draw a replacement.

    Raises:
        UserError: A file is bad.
    """
    if hasattr(dataset, 'load'):
        return dataset.load(index, key)
    try:
        return dataset[index]
    except UserError:
        raise
    except BAD_FILE as error:
        path = dataset.get_data_info(index)['img_path']
        raise UserError(f'{path}: {one_line(error)}') from error


@contextmanager
def seeded_transforms(key: tuple[int, int]) -> Iterator[None]:
    """Make random transforms depend only on the key.

    Restores the process's generators, so that the number of workers affects
    neither the data nor the model's randomness.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    words = np.random.SeedSequence(key).generate_state(2)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


@DATA_SAMPLERS.register_module()
class UDASampler(Sampler):
    """Endless (key, index of each domain by name) for a `UDADataset`.

    The key, (seed, position), seeds the random transforms. Position k of the
    joint stream of all ranks takes entry k of each domain's order. The k-th
    item depends only on (seed, rank, world size, k), so `skip` resumes
    instantly.

    Args:
        dataset: The domains.
        orders: Config of the order of some domains; the default is
            `ShuffledOrder`, or `PoolOrder` for a `DomainPool`. An order is
            built with the domain's ``dataset`` and ``seed``, and maps a
            position to an index or to `Wanted`.
        seed: Seed of the orders; None draws one shared by all ranks.

    Raises:
        TypeError: ``dataset`` is not a `UDADataset`.
        UserError: An order's domain does not exist, or has shares that the
            order ignores.
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
            name: build_order(
                f'UDASampler: orders.{name}',
                domain,
                orders.get(name, {}),
                self.seed + number,
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
        """Number of images of the first domain; nominal epoch length."""
        return self.length

    def skip(self, num_samples: int) -> None:
        """Skip this rank's first samples in the next iteration.

        Args:
            num_samples: Number of samples this rank has consumed.
        """
        self._skipped = num_samples

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the stream has no epochs."""


def build_order(
    key: str, dataset: Dataset, cfg: dict, seed: int
) -> Sequence[int | Wanted]:
    """Build the order of a dataset.

    Args:
        key: Key of the order, for the error.
        dataset: The dataset.
        cfg: Config of the order; without a type it is the dataset's own.
        seed: Seed of the order.

    Raises:
        UserError: The order would ignore the dataset's shares.
    """
    own = getattr(dataset, 'order', 'ShuffledOrder')
    kind = cfg.get('type', own)
    if getattr(dataset, 'shares', None) and kind != own:
        raise UserError(
            f'{key}.type={kind}: ignores the shares of the '
            f'{type(dataset).__name__}, expected {own}, and {kind} in its '
            'orders, by member'
        )
    return DATA_SAMPLERS.build(
        {**cfg, 'type': kind, 'dataset': dataset, 'seed': seed}
    )


@DATA_SAMPLERS.register_module()
class ShuffledOrder:
    """Endless concatenation of random permutations of a dataset.

    Every image is seen once before any is repeated, for any number of ranks.

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
        """Return the index at a position, from 0."""
        epoch, offset = divmod(position, self.length)
        if epoch != self._epoch:
            generator = torch.Generator()
            # Two primes separate seeds of neighbouring runs and epochs.
            generator.manual_seed(self.seed * 1_000_003 + epoch * 7_919)
            self._permutation = torch.randperm(
                self.length, generator=generator
            ).tolist()
            self._epoch = epoch
        return self._permutation[offset]

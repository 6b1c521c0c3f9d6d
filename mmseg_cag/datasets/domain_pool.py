# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Pools of several domains used as one source or target."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from math import lcm

from mmengine.dist import get_dist_info
from mmseg.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import ConcatDataset

from mmseg_cag.errors import UserError

from .inspection.dataset_inputs import dataset_inputs
from .rare_classes import class_of_id
from .skip_bad_files import skipping
from .uda import build_domain, build_order, load_or_stop
from .wanted import Wanted


@DATASETS.register_module()
class DomainPool(ConcatDataset):
    """Concatenated datasets of several domains.

    Each has its own pipeline and its own mapping from ids to classes. A
    sample's metainfo has its ``domain`` and, in ``absent``, classes that this
    domain does not label. In training these are those that another member
    labels: losses exclude them, so that they are not learnt as absent. For
    evaluation, with ``test_mode``, they are all that have no labels.

    Args:
        members: Dataset config of each domain, by name; None removes one.
        shares: Share of each in the training samples, summing to 1; by default
            all images count the same. The others take over a removed domain's
            share.
        absent: Names of classes that a member's labels never have, by member,
            in addition to those without an id in its pipeline. The data check
            compares it with the labels.

    Attributes:
        absent: Of each member, the classes in its samples' ``absent``.

    Raises:
        UserError: There are no members, one is empty, classes differ, shares
            do not match the members or sum to 1, or ``absent`` names an
            unknown member or class.
    """

    order = 'PoolOrder'

    def __init__(
        self,
        members: dict[str, dict | None],
        shares: dict[str, float] | None = None,
        absent: dict[str, Sequence[str]] | None = None,
    ) -> None:
        if shares is not None:
            require_shares(members, shares)
        present = {name: cfg for name, cfg in members.items() if cfg}
        if not present:
            raise UserError(
                'DomainPool: members is empty, expected data sets by name'
            )
        super().__init__(
            [
                build_domain(name, cfg, False, 'DomainPool')
                for name, cfg in present.items()
            ]
        )
        self.names = list(present)
        self.left_out = [name for name in members if name not in present]
        self.shares = rescaled(shares, self.names) if shares else None
        self._require_equal_classes()
        self.stated_absent = absent or {}
        self.absent = self._find_absent(self.stated_absent)

    def _require_equal_classes(self) -> None:
        first, *others = (list(d.metainfo['classes']) for d in self.datasets)
        for name, classes in zip(self.names[1:], others, strict=True):
            if classes != first:
                raise UserError(
                    f'DomainPool: {self.names[0]} and {name} must have the '
                    f'same classes, got {first} and {classes}'
                )

    def _find_absent(
        self, stated: dict[str, Sequence[str]]
    ) -> list[tuple[int, ...]]:
        """List each member's classes that it does not label."""
        index = {name: i for i, name in enumerate(self.metainfo['classes'])}
        members = self.names + self.left_out
        for member, names in stated.items():
            if member not in members:
                raise UserError(
                    f'DomainPool: absent names the member {member}, expected '
                    f'one of {", ".join(members)}'
                )
            for name in names:
                if name not in index:
                    raise UserError(
                        f'DomainPool: absent.{member} names {name!r}, '
                        f'expected some of {", ".join(index)}'
                    )
        labelled = [
            {
                category
                for part in dataset_inputs(dataset, '', 'source')
                if part.labels
                for category in class_of_id(part).values()
            }
            - {index[name] for name in stated.get(member, ())}
            for member, dataset in zip(self.names, self.datasets, strict=True)
        ]
        known = set().union(*labelled)
        if self._is_for_evaluation():
            known = {*index.values()}
        return [tuple(sorted(known - own if own else ())) for own in labelled]

    def _is_for_evaluation(self) -> bool:
        parts = dataset_inputs(self, '', 'val')
        return all(getattr(p.dataset, 'test_mode', False) for p in parts)

    def skipping_bad_files(self) -> DomainPool:
        """Replace bad images by others of the same domain."""
        self.datasets = [skipping(dataset) for dataset in self.datasets]
        return self

    @property
    def metainfo(self) -> dict:
        """Classes and palette shared by the members."""
        return self.datasets[0].metainfo

    @property
    def starts(self) -> list[int]:
        """Index of the first image of each member."""
        return [0, *self.cumulative_sizes[:-1]]

    def _place(self, index: int) -> tuple[int, int]:
        member = bisect_right(self.cumulative_sizes, index)
        return member, index - self.starts[member]

    def get_data_info(self, index: int) -> dict:
        """Return a sample's paths and domain without loading it."""
        member, own = self._place(index)
        info = self.datasets[member].get_data_info(own)
        return {**info, 'domain': self.names[member]}

    def __getitem__(self, index: int) -> dict:
        """Load a sample."""
        return self.load(index, ())

    def load(self, index: int, key: Sequence[int]) -> dict:
        """Load a sample, or a replacement of its domain drawn by the key."""
        member, own = self._place(index)
        sample = load_or_stop(self.datasets[member], own, key)
        found = {'domain': self.names[member]}
        if self.absent[member]:
            found['absent'] = self.absent[member]
        sample['data_samples'].set_metainfo(found)
        return sample


def require_shares(names: Sequence[str], shares: dict[str, float]) -> None:
    """Check that each domain has a share and that they sum to 1.

    Raises:
        UserError: They do not.
    """
    if {*shares} != {*names}:
        raise UserError(
            f'DomainPool: shares of {", ".join(shares)}, expected one of each '
            f'of {", ".join(names)}'
        )
    for name, share in shares.items():
        if not 0 < share <= 1:
            raise UserError(
                f'DomainPool: shares.{name}={share}, expected a number above '
                '0, up to 1'
            )
    if abs((total := sum(shares.values())) - 1) > 1e-6:
        raise UserError(
            f'DomainPool: shares sum to {total:g}, expected a sum of 1'
        )


def rescaled(
    shares: dict[str, float], names: Sequence[str]
) -> dict[str, Fraction]:
    """Rescale the shares of some domains to sum to 1.

    Raises:
        UserError: They are not simple fractions.
    """
    exact = {n: Fraction(s).limit_denominator(1000) for n, s in shares.items()}
    if sum(exact.values()) != 1:
        raise UserError(
            f'DomainPool: shares={shares}, expected numbers of at most three '
            'digits, such as 0.25, or fractions, such as 1 / 3'
        )
    total = sum(exact[name] for name in names)
    return {name: exact[name] / total for name in names}


def share_pattern(shares: Sequence[Fraction]) -> list[int]:
    """Compute the shortest member sequence with the exact shares.

    The next member is the one farthest behind its share, so short runs also
    approximate the shares.

    Args:
        shares: Of sum 1.

    Returns:
        Member of each position; the length is the least common denominator.
    """
    counts = [0] * len(shares)
    pattern = []
    for place in range(1, lcm(*(s.denominator for s in shares)) + 1):
        behind = [s * place - n for s, n in zip(shares, counts, strict=True)]
        member = behind.index(max(behind))
        counts[member] += 1
        pattern.append(member)
    return pattern


@DATA_SAMPLERS.register_module()
class PoolOrder:
    """Draws from a `DomainPool` by its shares, consistently over ranks.

    `share_pattern` gives the member of a rank's k-th draw: a batch has the
    exact shares if its size allows. Each member has its own order, whose
    positions the ranks share. Everything depends only on the seed, the number
    of ranks and the position.

    Args:
        dataset: The pool.
        seed: Seed of the orders.
        orders: Config of the order of some members; the default is
            the member's own, `ShuffledOrder`.

    Raises:
        UserError: The dataset is no pool, or an order's member does not exist
            or has no share.
    """

    def __init__(
        self,
        dataset: DomainPool,
        seed: int,
        orders: dict[str, dict] | None = None,
    ) -> None:
        if not isinstance(dataset, DomainPool):
            raise UserError(
                f'PoolOrder: {type(dataset).__name__} is no DomainPool, '
                'expected one, or ShuffledOrder'
            )
        orders = orders or {}
        known = dataset.names + dataset.left_out if dataset.shares else []
        for name in orders:
            if name not in known:
                raise UserError(
                    f'PoolOrder: orders names {name}, expected one of the '
                    f'members with a share, {", ".join(known) or "none"}'
                )
        _, self.world_size = get_dist_info()
        self.starts, parts, shares = [0], [dataset], [Fraction(1)]
        if dataset.shares:
            self.starts, parts = dataset.starts, dataset.datasets
            shares = [*dataset.shares.values()]
        # A pool without shares is shuffled as a whole.
        plain = {} if dataset.shares else dict(type='ShuffledOrder')
        self.orders = [
            build_order(
                f'PoolOrder: orders.{name}',
                part,
                orders.get(name, plain),
                # Different from the seeds of other domains and runs.
                seed + 101 * number,
            )
            for number, (name, part) in enumerate(
                zip(dataset.names, parts, strict=False)
            )
        ]
        self.pattern = share_pattern(shares)

    def __getitem__(self, position: int) -> int | Wanted:
        """Return the index at a position in the stream of all ranks."""
        step, rank = divmod(position, self.world_size)
        round_, place = divmod(step, len(self.pattern))
        member = self.pattern[place]
        earlier = round_ * self.pattern.count(member)
        earlier += self.pattern[:place].count(member)
        own = self.orders[member][earlier * self.world_size + rank]
        start = self.starts[member]
        if isinstance(own, Wanted):
            return own._replace(index=start + own.index)
        return start + own

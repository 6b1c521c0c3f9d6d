# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Plan what to measure: methods by config name, and variants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.json_file import read_json
from mmseg_cag.minitown.pairs import MINITOWN, Pair

# In the order of the table.
TITLES = {
    'source_only': 'source only',
    'self_training': 'self-training by probability > 0.95',
    'adaptsegnet': 'AdaptSegNet',
    'clan': 'CLAN',
    'bdl_loop': 'BDL, second round',
    'cag': 'CAG',
    'cag_adversarial': 'CAG from AdaptSegNet',
    'proda': 'ProDA',
    'dacs': 'DACS',
    'daformer': 'DAFormer',
    'hrda': 'HRDA',
    'mic': 'MIC on DACS',
    'mic_daformer': 'MIC on DAFormer',
    'mic_hrda': 'MIC on HRDA',
    'anchor_teacher': 'anchors in a mean teacher',
    'oracle': 'oracle (target labels)',
}
# Suffix of a row with another row's network and batch norm statistics
# re-estimated on target images.
REESTIMATED = '-bn'
THREE = (0, 1, 2)
THREE_EVERYWHERE = (
    'source_only',
    f'source_only{REESTIMATED}',
    'cag',
    'anchor_teacher',
    'oracle',
)
VARIANTS = Path(__file__).parents[1] / 'ablations.json'


class Row(NamedTuple):
    """One run to measure.

    Attributes:
        pair: Name of its pair.
        name: Name of its method or variant.
        seed: Training seed.
    """

    pair: str
    name: str
    seed: int

    def __str__(self) -> str:
        return f'{self.pair}/{self.name} seed {self.seed}'


class Variant(NamedTuple):
    """A run with settings that differ from a config's.

    Attributes:
        like: Name of the config.
        changes: Settings by path, as in ``--cfg-options``.
        start: Name of the row whose network it starts from; None for the
            config's own.
        title: Title in the table; None for its name.
        pairs: The pairs that it is for; none for all with that config.
    """

    like: str
    changes: dict = {}
    start: str | None = None
    title: str | None = None
    pairs: Sequence[str] = ()


def read_variants(path: Path) -> dict[str, Variant]:
    """Read variants by name.

    Raises:
        UserError: The file does not contain variants.
    """
    found = {}
    for name, settings in read_json(path).items():
        try:
            found[name] = Variant(**settings)
        except TypeError as error:
            raise UserError(
                f'{path}: {name}: expected {", ".join(Variant._fields)} '
                f'({error})'
            ) from error
    return found


def title_of(name: str, variant: Variant | None = None) -> str:
    """Return the display name of a row.

    Args:
        name: The row's.
        variant: Its variant as measured, if it is one.
    """
    base = name.removesuffix(REESTIMATED)
    title = TITLES.get(base) or (variant and variant.title) or base
    if base == name:
        return title
    return f'{title}, statistics re-estimated on the target'


def known_names(pair: Pair, variants: dict[str, Variant]) -> list[str]:
    """List the methods with configs for a pair, then its variants."""
    names = [n for n in TITLES if (pair.configs / f'{n}.py').is_file()]
    return names + [n for n, v in variants.items() if is_of(v, pair)]


def is_of(variant: Variant, pair: Pair) -> bool:
    """Tell whether a variant is one of a pair."""
    if variant.pairs:
        return bool({pair.name, pair.like} & {*variant.pairs})
    return (pair.configs / f'{variant.like}.py').is_file()


def default_words(pairs: Sequence[Pair]) -> list[str]:
    """List the default rows, in order of importance.

    Three seeds on minitown; elsewhere of what others are held against and of
    the default method, and one of the others.
    """
    found = dict.fromkeys(n for pair in pairs for n in known_names(pair, {}))
    first = ['source_only', 'oracle', f'source_only{REESTIMATED}']
    return [
        f'{pair.name}/{name}'
        if pair is MINITOWN or name in THREE_EVERYWHERE
        else f'{pair.name}/{name}:0'
        for name in [*first, *(n for n in found if n not in first)]
        for pair in pairs
        if name in first or name in known_names(pair, {})
    ]


def plan_rows(
    pairs: Sequence[Pair],
    words: Sequence[str],
    seeds: Sequence[int],
    variants: dict[str, Variant],
) -> list[Row]:
    """List rows in order of importance: each name's first seed comes first.

    Args:
        pairs: The pairs.
        words: Names, optionally with pair and seeds, as in
            ``minitown/mic:0,1``; otherwise for each pair that knows the name.
        seeds: Seeds of names without any.
        variants: Further names.

    Raises:
        UserError: No pair knows a name, or its seeds are invalid.
    """
    known = {pair.name: known_names(pair, variants) for pair in pairs}
    found = []
    for word in words:
        name, _, given = word.partition(':')
        chosen, _, name = name.rpartition('/')
        base = name.removesuffix(REESTIMATED)
        those = [
            pair
            for pair, names in known.items()
            if base in names and chosen in ('', pair)
        ]
        if not those:
            names = dict.fromkeys(n for names in known.values() for n in names)
            raise UserError(
                f'{word}: no method of {", ".join(known)}, expected one of '
                f'{", ".join(names)}, or one of them with {REESTIMATED}'
            )
        own = given.split(',') if given else seeds
        if not all(str(seed).isdigit() for seed in own):
            raise UserError(f'{word}: expected seeds as in {name}:0,1')
        for turn, seed in enumerate(own):
            found += [(turn, Row(pair, name, int(seed))) for pair in those]
    found.sort(key=lambda item: item[0])
    return list(dict.fromkeys(row for _, row in found))

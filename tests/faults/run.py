# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from mmseg.utils import register_all_modules

import mmseg_cag  # noqa: F401

from .child import Lost
from .kinds import KINDS
from .laboratory import Laboratory
from .table import Table


def run_rounds(
    rounds: int,
    seed: int,
    kinds: Iterable[str],
    say: Callable[[str], None],
) -> Table:
    """Plant one fault a round, of one kind after another.

    Args:
        rounds: How many.
        seed: Of all random choices.
        kinds: Names in `KINDS`.
        say: Takes a line about each round.
    """
    register_all_modules(init_default_scope=True)
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        lab = Laboratory(Path(folder), seed)
        names = itertools.islice(itertools.cycle(kinds), rounds)
        # Ctrl-C ends with the table of the rounds that are done.
        with suppress(KeyboardInterrupt):
            for number, name in enumerate(names, start=1):
                start = time.monotonic()
                outcome = _plant(lab, name, table)
                seconds = time.monotonic() - start
                say(f'{number:3} {name}: {outcome} ({seconds:.0f} s)')
    return table


def _plant(lab: Laboratory, name: str, table: Table) -> str:
    try:
        KINDS[name](lab)
    except Lost as error:
        table.lost[name] += 1
        return f'LOST, {error}'
    table.survived[name] += 1
    return 'survived'

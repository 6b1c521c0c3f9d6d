# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""One mutated input, read."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_cag.errors import UserError

from .mutations import mutate
from .readers import Reader

READ, REFUSED = 'read', 'refused'
CRASHED, HUNG, EXECUTED = 'crashed', 'hung', 'executed'
FAULTS = CRASHED, HUNG, EXECUTED


@dataclass(frozen=True)
class Outcome:
    """What became of an input.

    Args:
        number: Of the input.
        kind: One of the words above.
        message: What was said.
    """

    number: int
    kind: str
    message: str = ''


def reader_of(readers: Sequence[Reader], number: int) -> Reader:
    """The reader that an input is for."""
    return readers[number % len(readers)]


def try_input(
    readers: Sequence[Reader], seed: int, number: int, scratch: Path
) -> Outcome:
    """Make an input, read it and judge.

    Args:
        readers: All of them.
        seed: Of the campaign.
        number: Of the input, which chooses reader and damage.
        scratch: An empty folder for it.
    """
    reader = reader_of(readers, number)
    rng = np.random.default_rng((seed, number))
    marker = scratch / 'executed'
    folder = scratch / 'input'
    content = reader.seeds[rng.integers(len(reader.seeds))]
    reader.place(folder, mutate(rng, content, str(marker)))
    kind, message = _judge(reader, folder)
    if marker.exists():
        kind, message = EXECUTED, f'{reader.name}: {message}'
        marker.unlink()
    shutil.rmtree(folder)
    return Outcome(number, kind, message)


def _judge(reader: Reader, folder: Path) -> tuple[str, str]:
    try:
        reader.read(folder)
    except UserError as error:
        message = str(error)
        if message and '\n' not in message:
            return REFUSED, message
        return CRASHED, f'{reader.name}: not one line: {message!r}'
    except BaseException as error:
        return CRASHED, f'{reader.name}: {type(error).__name__}: {error}'
    return READ, ''

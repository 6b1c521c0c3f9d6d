# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What processes do in tests; light, as each imports it anew."""

from __future__ import annotations

import time


def double(value: int) -> int:
    return 2 * value


def fail_at_two(value: int) -> int:
    if value == 2:
        raise ValueError('two')
    return value


def refuse(path: str) -> None:
    from mmseg_cag.errors import UserError

    raise UserError(f'{path}: not found, expected a page')


def note_and_sleep(argument: tuple[str, float]) -> None:
    path, seconds = argument
    with open(path, 'a') as file:
        file.write('begun\n')
    time.sleep(seconds)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Ways to damage a file."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable

import numpy as np

from .payloads import hostile_pickle

Mutation = Callable[[np.random.Generator, bytearray], bytes]
PNG = b'\x89PNG\r\n\x1a\n'
# Lengths at which readers overflow, allocate too much or divide by zero.
LENGTHS = (0, 1, 2**7, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)
JUNK = (
    *(None, True, -1, 0, 2**70, 1.5, float('nan'), '', '../..', '\x1b[2J'),
    *('a' * 10_000, [], {}, [None], {'type': 'no such class'}, 'zip://..'),
)


def flip(rng: np.random.Generator, content: bytearray) -> bytes:
    """Turn some bits."""
    for _ in range(rng.integers(1, 9)):
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    return bytes(content)


def cut(rng: np.random.Generator, content: bytearray) -> bytes:
    """Leave out the end."""
    return bytes(content[: rng.integers(len(content))])


def splice(rng: np.random.Generator, content: bytearray) -> bytes:
    """Copy a part over another."""
    size = int(rng.integers(1, max(2, len(content) // 4)))
    start, end = rng.integers(len(content), size=2)
    content[end : end + size] = content[start : start + size]
    return bytes(content)


def insert(rng: np.random.Generator, content: bytearray) -> bytes:
    """Put random bytes in between."""
    place = rng.integers(len(content))
    content[place:place] = rng.bytes(rng.integers(1, 64))
    return bytes(content)


def change_length(rng: np.random.Generator, content: bytearray) -> bytes:
    """Write a telling number where four bytes stand, often near an end."""
    near = min(len(content), 64)
    place = int(rng.integers(near))
    if rng.random() < 0.5:
        place = len(content) - place
    form = rng.choice(['<I', '>I', '<H', '>H'])
    number = LENGTHS[rng.integers(len(LENGTHS))] % 2 ** (
        8 * struct.calcsize(form)
    )
    content[place : place + struct.calcsize(form)] = struct.pack(form, number)
    return bytes(content)


BYTES: tuple[Mutation, ...] = (flip, cut, splice, insert, change_length)


def mutate(rng: np.random.Generator, seed: bytes, marker: str) -> bytes:
    """Damage a valid file, or put a hostile one in its place.

    Args:
        rng: Draws what is done.
        seed: The valid file.
        marker: The file that executed code would make.
    """
    draw = rng.random()
    if draw < 0.15:
        content = hostile_pickle(rng, marker)
        if rng.random() < 0.6:
            return content
        seed = content
    elif draw < 0.75 and seed.startswith(b'{'):
        return change_value(rng, seed)
    content = seed
    for _ in range(rng.integers(1, 4)):
        if content:
            mutation = BYTES[rng.integers(len(BYTES))]
            content = mutation(rng, bytearray(content))
    if rng.random() < 0.7:
        content = mend_png(content)
    return content


def change_value(rng: np.random.Generator, seed: bytes) -> bytes:
    """Change, drop or nest values of one of the JSON objects, a line each."""
    lines = seed.splitlines()
    place = rng.integers(len(lines))
    note = json.loads(lines[place])
    for _ in range(rng.integers(1, 4)):
        holder = note
        while True:
            keys = list(_keys(holder))
            if not keys:
                break
            key = keys[rng.integers(len(keys))]
            child = holder[key]
            if isinstance(child, dict | list) and rng.random() < 0.8:
                holder = child
                continue
            _change(rng, holder, key)
            break
    lines[place] = json.dumps(note).encode()
    return b'\n'.join([*lines, b''])


def _keys(holder: dict | list) -> object:
    return holder if isinstance(holder, dict) else range(len(holder))


def _change(
    rng: np.random.Generator, holder: dict | list, key: str | int
) -> None:
    draw = rng.random()
    if draw < 0.2:
        del holder[key]
    elif draw < 0.3:
        holder[key] = [holder[key]]
    else:
        holder[key] = JUNK[rng.integers(len(JUNK))]


def mend_png(content: bytes) -> bytes:
    """Correct the checksums of a PNG, which would hide all other damage."""
    if not content.startswith(PNG):
        return content
    mended, start = bytearray(content), len(PNG)
    while start + 12 <= len(mended):
        (length,) = struct.unpack_from('>I', mended, start)
        end = start + 8 + length
        if end + 4 > len(mended):
            break
        checksum = zlib.crc32(mended[start + 4 : end])
        struct.pack_into('>I', mended, end, checksum)
        start = end + 4
    return bytes(mended)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.json_file import read_json

MANIFEST = 'minitown.json'


CLAIM = 'minitown.unfinished.json'  # exists while drawing is in progress


# Keys of the arguments: images of each town, and the seed.
NUMBERS = ('source', 'target', 'val', 'synthia', 'seed')


def read_claim(path: Path) -> dict:
    """Read which town a folder contains or is being drawn in it.

    Args:
        path: The manifest, or the claim that precedes it.

    Raises:
        UserError: It lacks this information.
    """
    record = read_json(path)
    arguments = record.get('arguments')
    known = isinstance(arguments, dict) and all(
        isinstance(arguments.get(name), int) for name in NUMBERS
    )
    if not known or 'version' not in record:
        raise UserError(
            f'{path}: describes no minitown, expected its version and '
            'arguments'
        )
    return record


def read_manifest(path: Path) -> dict:
    """Read a manifest: arguments and pixel share of each class.

    Raises:
        UserError: It lacks this information.
    """
    record = read_claim(path)
    shares = record.get('pixel_shares')
    if not isinstance(shares, dict) or not all(
        isinstance(shares.get(town), dict) for town in NUMBERS[:-1]
    ):
        raise UserError(f'{path}: expected pixel_shares of each town')
    return record

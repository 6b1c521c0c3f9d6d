# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.json_file import read_json

MANIFEST = 'minitown.json'


CLAIM = 'minitown.unfinished.json'  # stands while the drawing is under way


# Of the arguments: images of each town, and the seed.
NUMBERS = ('source', 'target', 'val', 'synthia', 'seed')


def read_claim(path: Path) -> dict:
    """Read which town is drawn or begun in a folder.

    Args:
        path: The manifest, or the claim that stands before it.

    Raises:
        UserError: It does not say.
    """
    record = read_json(path)
    arguments = record.get('arguments')
    known = isinstance(arguments, dict) and all(
        isinstance(arguments.get(name), int) for name in NUMBERS
    )
    if not known or 'version' not in record:
        raise UserError(
            f'{path}: tells of no minitown, expected its version and arguments'
        )
    return record


def read_manifest(path: Path) -> dict:
    """Read what was drawn: its arguments, and the share of each class.

    Raises:
        UserError: It does not say.
    """
    record = read_claim(path)
    shares = record.get('pixel_shares')
    if not isinstance(shares, dict) or not all(
        isinstance(shares.get(town), dict) for town in NUMBERS[:-1]
    ):
        raise UserError(f'{path}: expected pixel_shares of each town')
    return record

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import hashlib
from pathlib import Path

from mmseg_cag.errors import MissingFileError

BLOCK = 2**20  # bytes read at a time


def checkpoint_hash(path: str | Path) -> str:
    """Compute the SHA-256 of a checkpoint, by which what it made is known.

    Args:
        path: The file.

    Raises:
        MissingFileError: There is no such file.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path}: checkpoint not found')
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()

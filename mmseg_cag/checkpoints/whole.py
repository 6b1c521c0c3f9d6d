# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import struct
import zlib
from pathlib import Path
from zipfile import BadZipFile, ZipFile

# What zipfile raises on a file that is cut or altered anywhere.
DAMAGE = (
    BadZipFile,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)


def fault_of(path: str | Path) -> str | None:
    """Find out whether a checkpoint is whole, running nothing that is in it.

    A file of ``torch.save`` is a zip file and has a checksum of each of its
    tensors; all of it is read once.

    Args:
        path: The file.

    Returns:
        What is wrong with it, None if nothing is.
    """
    try:
        with ZipFile(path) as archive:
            damaged = archive.testzip()
    except DAMAGE as error:
        return str(error) or type(error).__name__
    return f'{damaged} in it is damaged' if damaged else None

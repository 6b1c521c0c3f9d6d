# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import numpy as np

from mmseg_cag.errors import UserError


class ArrayCache:
    """Decoded files as plain arrays on disk, of which parts can be read.

    An entry is a ``.npy`` file followed by a signature of what it was made
    from: the size and the time of the source file. A source that has changed,
    or an entry that is not whole, is made again in the same place. Entries
    are written beside their place and renamed, so that any number of
    processes may fill one folder.

    A source in a zip file that its path names has that file's size and time;
    one that is no local file is told by its name alone.

    Args:
        folder: Where the entries go.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def get(
        self, path: str, content: str, make: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Open the entry of a file, after making it if there is none.

        Args:
            path: The source file.
            content: What is stored of it: what is read or mapped in another
                way needs another text.
            make: Reads it; its errors pass through.

        Returns:
            A read-only array on disk: what is not touched is not read.

        Raises:
            UserError: The folder cannot be written, or the disk is full.
        """
        entry = self._entry(path, content)
        signature = _signature(path)
        array = _open(entry) if _is_whole(entry, signature) else None
        if array is None:
            self._write(entry, make(), signature)
            array = np.load(entry, mmap_mode='r')
        return array

    def _entry(self, path: str, content: str) -> Path:
        key = f'{os.path.abspath(path)}\n{content}'
        name = hashlib.sha256(
            key.encode(errors='surrogateescape')
        ).hexdigest()[:32]
        return self.folder / name[:2] / f'{name}.npy'

    def _write(self, entry: Path, array: np.ndarray, signature: bytes) -> None:
        part = entry.with_suffix(f'.{uuid4().hex}.part')
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            with part.open('wb') as file:
                np.save(file, array, allow_pickle=False)
                file.write(signature)
            os.replace(part, entry)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise UserError(
                f'{self.folder}: the input cache cannot be written, expected '
                f'a folder with free space ({error.strerror or error})'
            ) from error


def _signature(path: str) -> bytes:
    """Size and time of the file, or of the zip file that it lies in."""
    local = Path(path.split('://')[-1])
    for place in (local, *local.parents):
        if place.is_file():
            status = place.stat()
            state = f'{status.st_size} {status.st_mtime_ns}'
            break
    else:
        state = 'no local file'
    return hashlib.sha256(state.encode()).digest()


def _open(entry: Path) -> np.ndarray | None:
    """Open an entry; None if it is no array of bytes."""
    try:
        array = np.load(entry, mmap_mode='r', allow_pickle=False)
    except Exception:  # the header is text, which is parsed in many ways
        return None
    return array if array.dtype == np.uint8 else None


def _is_whole(entry: Path, signature: bytes) -> bool:
    """Whether the entry ends as it was meant to."""
    try:
        with entry.open('rb') as file:
            file.seek(-len(signature), os.SEEK_END)
            return file.read() == signature
    except OSError:  # there is none, or it is shorter than a signature
        return False

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
    """On-disk cache of decoded files as arrays that can be read in part.

    An entry is a ``.npy`` file followed by a signature of its source: size and
    modification time. Entries of changed sources and incomplete entries are
    remade in place. Entries are written under a temporary name and renamed, so
    any number of processes may share one folder.

    A source in a zip file has the zip file's size and time; a source that is
    not a local file is identified by its name only.

    Args:
        folder: Folder of the entries.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def get(
        self, path: str, content: str, make: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Open the entry of a file, making it if needed.

        Args:
            path: The source file.
            content: Description of the stored content; other ways of reading
                or mapping need another text.
            make: Reads the source; its errors pass through.

        Returns:
            A read-only memory-mapped array.

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
                f'{self.folder}: cannot write the input cache, expected a '
                f'writable folder with free space ({error.strerror or error})'
            ) from error


def _signature(path: str) -> bytes:
    """Return size and time of a file, or of its zip file."""
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
    """Open an entry; None if it is not a byte array."""
    try:
        array = np.load(entry, mmap_mode='r', allow_pickle=False)
    except Exception:  # parsing a damaged header can raise anything
        return None
    return array if array.dtype == np.uint8 else None


def _is_whole(entry: Path, signature: bytes) -> bool:
    """Return whether the entry ends with its signature."""
    try:
        with entry.open('rb') as file:
            file.seek(-len(signature), os.SEEK_END)
            return file.read() == signature
    except OSError:  # missing, or shorter than a signature
        return False

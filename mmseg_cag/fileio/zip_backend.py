# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO
from zipfile import BadZipFile

from mmengine import fileio
from mmengine.fileio import BaseStorageBackend, register_backend

from mmseg_cag.errors import MissingFileError, UserError

from .zip_index import ArchiveHandles, ZipLocator

# Errors that zipfile raises for truncated or altered members.
DAMAGE = (BadZipFile, EOFError, LZMAError, zlib.error)
# And for invalid offsets and formats.
NONSENSE = (OSError, ValueError, RuntimeError)


@register_backend('zip', prefixes='zip')
class ZipBackend(BaseStorageBackend):
    """File backend ``zip`` of mmengine for files inside zip files.

    ``zip://data/gta/images/00001.png`` is the member ``images/00001.png`` of
    any zip file in the folder ``data/gta``; a path may also name one zip
    file as if it were a folder. So a dataset only needs
    ``data_root='zip://data/gta'``. Read-only. Safe in forked or spawned
    workers and in threads; the member list is read once.
    """

    def __init__(self) -> None:
        self._handles = ArchiveHandles()
        self._locator = ZipLocator(self._handles)

    def get(self, filepath: str | Path) -> bytes:
        """Read a member.

        Raises:
            MissingFileError: There is no such member.
            UserError: It is damaged.
        """
        with self.open(filepath) as stream:
            try:
                return stream.read()
            except NONSENSE as error:
                raise BadZipFile(str(error)) from error

    def get_text(self, filepath: str | Path, encoding: str = 'utf-8') -> str:
        """Read a member as text."""
        return self.get(filepath).decode(encoding)

    @contextmanager
    def open(self, filepath: str | Path) -> Iterator[IO[bytes]]:
        """Open a member for reading, decompressed on demand.

        Raises:
            MissingFileError: There is no such member.
            UserError: It is damaged.
        """
        index, name = self._locator.file(filepath)
        if name not in index.files:
            raise MissingFileError(f'{filepath}: no such file in a zip file')
        archive, member = index.find(name)
        with _naming(filepath, archive, *DAMAGE, *NONSENSE):
            stream = self._handles[archive].open(member)
        with stream, _naming(filepath, archive, *DAMAGE):
            yield stream

    @contextmanager
    def get_local_path(self, filepath: str | Path) -> Iterator[str]:
        """Extract a member to a temporary file for the context."""
        with TemporaryDirectory() as folder:
            local = Path(folder, PurePosixPath(filepath).name)
            local.write_bytes(self.get(filepath))
            yield str(local)

    def checksum(self, filepath: str | Path) -> int:
        """Return a member's CRC from the archive's list; 0 without one."""
        index, name = self._locator.file(filepath)
        return index.checksum(name)

    def exists(self, filepath: str | Path) -> bool:
        """Return whether a file or folder exists."""
        return self.isfile(filepath) or self.isdir(filepath)

    def isfile(self, filepath: str | Path) -> bool:
        """Return whether a member exists."""
        try:
            index, name = self._locator.file(filepath)
        except MissingFileError:
            return False
        return name in index.files

    def isdir(self, filepath: str | Path) -> bool:
        """Return whether a folder exists in any of the archives."""
        try:
            index, name = self._locator.folder(filepath)
        except MissingFileError:
            return False
        return name in index.folders

    def join_path(self, filepath: str | Path, *filepaths: str | Path) -> str:
        """Join paths."""
        return os.path.join(filepath, *filepaths)

    def list_dir_or_file(
        self,
        dir_path: str | Path,
        list_dir: bool = True,
        list_file: bool = True,
        suffix: str | tuple[str, ...] | None = None,
        recursive: bool = False,
    ) -> Iterator[str]:
        """List the content of a folder, relative to it.

        Args:
            dir_path: The folder.
            list_dir: Whether to list folders.
            list_file: Whether to list files, except hidden ones.
            suffix: Suffix of the files to list.
            recursive: Whether to descend.

        Raises:
            MissingFileError: No archive has such a folder.
            TypeError: A suffix is given for folders.
        """
        if list_dir and suffix is not None:
            raise TypeError('suffix must be None when folders are listed')
        index, folder = self._locator.folder(dir_path)
        if folder not in index.folders:
            raise MissingFileError(f'{dir_path}: no such folder in a zip file')
        names = index.folders_in(folder) if list_dir else []
        if list_file:
            ending = suffix or ''
            files = index.files_in(folder)
            names += [name for name in files if name.endswith(ending)]
        return (name for name in names if recursive or '/' not in name)


@contextmanager
def _naming(
    path: str | Path, archive: str, *errors: type[Exception]
) -> Iterator[None]:
    """Turn errors of zipfile into one that names the member."""
    try:
        yield
    except errors as error:
        raise UserError(
            f'{path}: cannot be read from {archive} ({error}), expected a '
            'complete zip file, stored or deflated, without a password'
        ) from error


@contextmanager
def open_file(
    path: str, backend_args: dict | None = None
) -> Iterator[IO[bytes]]:
    """Open a file of any backend for partial reading.

    mmengine's backends read whole files, too much for a header; here only
    remote files are read whole.

    Args:
        path: The file.
        backend_args: Arguments of mmengine's file backend.
    """
    backend = fileio.get_file_backend(
        path, backend_args=backend_args, enable_singleton=True
    )
    if isinstance(backend, ZipBackend):
        opened = backend.open(path)
    elif isinstance(backend, fileio.LocalBackend):
        opened = Path(path).open('rb')
    else:
        opened = BytesIO(backend.get(path))
    with opened as stream:
        yield stream

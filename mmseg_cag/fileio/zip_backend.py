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

# What zipfile raises on reading a member that is cut or altered.
DAMAGE = (BadZipFile, EOFError, LZMAError, zlib.error)
# And what it raises for places and forms that make no sense.
NONSENSE = (OSError, ValueError, RuntimeError)


@register_backend('zip', prefixes='zip')
class ZipBackend(BaseStorageBackend):
    """Files inside zip files, as mmengine's file backend ``zip``.

    ``zip://data/gta/images/00001.png`` is the member ``images/00001.png`` of
    any zip file in the folder ``data/gta``; a path may also name one zip
    file as if it were a folder. So ``data_root='zip://data/gta'`` is all that
    a data set needs. Read-only. Safe in workers, forked or spawned, and in
    threads; the list of members is read once.
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
        """Open a member for reading; no more is unpacked than is read.

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
        """Unpack a member into a file that lives as long as the context."""
        with TemporaryDirectory() as folder:
            local = Path(folder, PurePosixPath(filepath).name)
            local.write_bytes(self.get(filepath))
            yield str(local)

    def exists(self, filepath: str | Path) -> bool:
        """Check whether there is such a file or folder."""
        return self.isfile(filepath) or self.isdir(filepath)

    def isfile(self, filepath: str | Path) -> bool:
        """Check whether there is such a member."""
        try:
            index, name = self._locator.file(filepath)
        except MissingFileError:
            return False
        return name in index.files

    def isdir(self, filepath: str | Path) -> bool:
        """Check whether there is such a folder in any of the archives."""
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
        """Name what lies in a folder, relative to it, as on a local disk.

        Args:
            dir_path: The folder.
            list_dir: Whether to name folders.
            list_file: Whether to name files; hidden ones are left out.
            suffix: Only files that end so.
            recursive: Whether to descend.

        Raises:
            MissingFileError: No archive has such a folder.
            TypeError: A suffix is given for folders.
        """
        if list_dir and suffix is not None:
            raise TypeError('suffix must be None where folders are listed')
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
    """Turn what zipfile raises into an error that names the member."""
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
    """Open a file of any backend, reading no more of it than is asked for.

    mmengine's backends read whole files, which is too much for a header;
    only those that lie elsewhere than on a disk are read so here.

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

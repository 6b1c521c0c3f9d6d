# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from pathlib import Path
from zipfile import BadZipFile, ZipFile, ZipInfo

from mmseg_cag.errors import MissingFileError, UserError

from .images import is_hidden


class ZipIndex:
    """Index of the members of a dataset's zip files.

    Args:
        archives: Members by archive path.

    Attributes:
        files: Maps each file name to its archive and member name.
        folders: Folder names, including the empty root.

    Raises:
        UserError: A member's path leads outside its archive.
    """

    def __init__(self, archives: dict[str, Iterable[ZipInfo]]) -> None:
        self.files: dict[str, tuple[str, str]] = {}
        self.folders = {''}
        self._contents: dict[str, tuple[int, int]] = {}
        self._clashes: dict[str, str] = {}
        for archive, members in archives.items():
            for member in members:
                self._add(archive, member)

    def find(self, name: str) -> tuple[str, str]:
        """Find a file's archive and member name.

        Args:
            name: One of `files`.

        Raises:
            UserError: Two archives hold it with different contents.
        """
        if name in self._clashes:
            raise UserError(
                f'{self.files[name][0]} and {self._clashes[name]} hold '
                f'different files {name}'
            )
        return self.files[name]

    def checksum(self, name: str) -> int:
        """Return a file's CRC; 0 if there is no such file."""
        return self._contents.get(name, (0, 0))[0]

    def folders_in(self, folder: str) -> list[str]:
        """List the folders in a folder, relative to it."""
        return _below(folder, self.folders - {''})

    def files_in(self, folder: str) -> list[str]:
        """List the visible files in a folder, relative to it."""
        return [n for n in _below(folder, self.files) if not is_hidden(n)]

    def _add(self, archive: str, member: ZipInfo) -> None:
        name = _checked_name(archive, member)
        folder = name if member.is_dir() else posixpath.dirname(name)
        while folder not in self.folders:
            self.folders.add(folder)
            folder = posixpath.dirname(folder)
        if member.is_dir():
            return
        content = (member.CRC, member.file_size)
        if self._contents.setdefault(name, content) != content:
            self._clashes[name] = archive
        self.files.setdefault(name, (archive, member.filename))


def _below(folder: str, names: Iterable[str]) -> list[str]:
    prefix = f'{folder}/' if folder else ''
    return sorted(
        n.removeprefix(prefix) for n in names if n.startswith(prefix)
    )


def _checked_name(archive: str, member: ZipInfo) -> str:
    """Normalise a member name: no dots, double or trailing slashes."""
    name = member.filename.replace('\\', '/')
    if not name or name.startswith('/') or '..' in name.split('/'):
        raise UserError(
            f'{archive}: its member {member.filename!r} leads outside the '
            'archive, expected the original file'
        )
    return posixpath.normpath(f'/{name}')[1:]


PREFIX = 'zip://'


class ZipLocator:
    """Finds the zip files that a path leads into.

    Uses the nearest zip file up the path, or all zip files of the nearest
    folder that contains some.

    Args:
        handles: The open archives.
    """

    def __init__(self, handles: ArchiveHandles) -> None:
        self._handles = handles
        self._indexes: dict[Path, ZipIndex] = {}
        self._folders: dict[str, tuple[ZipIndex, str]] = {}

    def file(self, path: str | Path) -> tuple[ZipIndex, str]:
        """Find the index of a file and its name in it.

        Raises:
            MissingFileError: There is no zip file on the path.
        """
        folder, name = os.path.split(_without_prefix(path))
        index, inside = self.folder(folder)
        return index, f'{inside}/{name}' if inside else name

    def folder(self, path: str | Path) -> tuple[ZipIndex, str]:
        """Find the index of a folder and its name in it.

        Raises:
            MissingFileError: There is no zip file on the path.
        """
        folder = _without_prefix(path)
        if folder not in self._folders:
            root = Path(folder)
            while not (archives := _archives(root)):
                if root == root.parent:
                    raise MissingFileError(
                        f'{PREFIX}{folder}: no zip file found, expected one '
                        'on the path or in a folder of it'
                    )
                root = root.parent
            inside = Path(folder).relative_to(root).as_posix()
            name = '' if inside == '.' else inside
            self._folders[folder] = self._index(root, archives), name
        return self._folders[folder]

    def _index(self, root: Path, archives: list[str]) -> ZipIndex:
        if root not in self._indexes:
            self._indexes[root] = ZipIndex(
                {path: self._handles[path].infolist() for path in archives}
            )
        return self._indexes[root]


def _without_prefix(path: str | Path) -> str:
    return os.path.normpath(str(path).removeprefix(PREFIX))


def _archives(path: Path) -> list[str]:
    """List a path's zip files: itself or those in the folder."""
    if path.is_dir():
        return sorted(str(p) for p in path.iterdir() if _is_zip(p))
    return [str(path)] if _is_zip(path) else []


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == '.zip' and path.is_file()


class ArchiveHandles:
    """Open zip files, opened lazily by each process.

    A forked process that shared its parent's file position would read wrong
    bytes, so it opens its own.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._files: dict[str, ZipFile] = {}

    def __getitem__(self, archive: str) -> ZipFile:
        """Return an archive, opened in this process.

        Args:
            archive: Local path of a zip file.

        Raises:
            UserError: It is damaged or not a zip file.
        """
        if self._process != os.getpid():
            self._process, self._files = os.getpid(), {}
        if archive not in self._files:
            try:
                self._files[archive] = ZipFile(archive)
            except (BadZipFile, OSError, NotImplementedError) as error:
                raise UserError(
                    f'{archive}: cannot be read as a zip file ({error}), is '
                    'the download complete?'
                ) from error
        return self._files[archive]

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import posixpath
from collections.abc import Iterable
from zipfile import ZipInfo

from mmseg_cag.errors import UserError


class ZipIndex:
    """The members of the zip files that form one data set.

    Args:
        archives: The members of each archive, by the archive's path.

    Attributes:
        files: Name of each file to its archive and its name there.
        folders: Names of the folders; the empty one holds all.

    Raises:
        UserError: A member's name leads out of its archive.
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
        """Find the archive that holds a file, and the file's name there.

        Args:
            name: One of `files`.

        Raises:
            UserError: Two archives do, with different contents.
        """
        if name in self._clashes:
            raise UserError(
                f'{self.files[name][0]} and {self._clashes[name]} hold '
                f'different files {name}'
            )
        return self.files[name]

    def folders_in(self, folder: str) -> list[str]:
        """Name the folders below a folder, relative to it."""
        return _below(folder, self.folders - {''})

    def files_in(self, folder: str) -> list[str]:
        """Name the files below a folder, relative to it, but hidden ones."""
        names = _below(folder, self.files)
        return [n for n in names if not posixpath.basename(n).startswith('.')]

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
    """Name a member without dots, double or trailing slashes."""
    name = member.filename.replace('\\', '/')
    if not name or name.startswith('/') or '..' in name.split('/'):
        raise UserError(
            f'{archive}: its member {member.filename!r} leads out of the '
            'archive, expected one as its publisher made it'
        )
    return posixpath.normpath(f'/{name}')[1:]

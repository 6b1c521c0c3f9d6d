# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from zipfile import ZipInfo

from mmseg_cag.errors import UserError


class ZipIndex:
    """The members of the zip files that form one data set.

    Args:
        members: The members of each archive, by the archive's path.

    Raises:
        UserError: A member's name leads out of its archive.
    """

    def __init__(self, members: dict[str, Iterable[ZipInfo]]) -> None:
        self.archives: dict[str, str] = {}
        self.folders = {''}
        self._clashes: dict[str, tuple[str, str]] = {}
        contents: dict[str, tuple[int, int]] = {}
        for archive, infos in members.items():
            for info in infos:
                name = _checked_name(info, archive)
                parents = PurePosixPath(name).parents
                self.folders.update(str(p) for p in list(parents)[:-1])
                if info.is_dir():
                    self.folders.add(name)
                    continue
                content = (info.CRC, info.file_size)
                if contents.setdefault(name, content) != content:
                    self._clashes[name] = (self.archives[name], archive)
                self.archives.setdefault(name, archive)

    def archive_of(self, name: str) -> str:
        """Find the archive that holds a member.

        Args:
            name: One of `archives`.

        Raises:
            UserError: Two archives do, with different contents.
        """
        if name in self._clashes:
            first, second = self._clashes[name]
            raise UserError(
                f'{first} and {second} hold different files {name}'
            )
        return self.archives[name]

    def folders_in(self, folder: str) -> list[str]:
        """Name the folders below a folder, relative to it."""
        return _below(folder, self.folders - {''})

    def files_in(self, folder: str) -> list[str]:
        """Name the files below a folder, relative to it, but hidden ones."""
        names = _below(folder, self.archives)
        return [n for n in names if not PurePosixPath(n).name.startswith('.')]


def _below(folder: str, names: Iterable[str]) -> list[str]:
    prefix = f'{folder}/' if folder else ''
    return sorted(
        n.removeprefix(prefix) for n in names if n.startswith(prefix)
    )


def _checked_name(info: ZipInfo, archive: str) -> str:
    """Name a member without a trailing slash."""
    path = PurePosixPath(info.filename.replace('\\', '/'))
    if path.is_absolute() or '..' in path.parts:
        raise UserError(
            f'{archive}: its member {info.filename!r} leads out of the '
            'archive, expected one as its publisher made it'
        )
    return str(path)

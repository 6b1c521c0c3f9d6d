# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
from pathlib import Path

from mmseg_cag.errors import MissingFileError

from .archive_handles import ArchiveHandles
from .zip_index import ZipIndex

PREFIX = 'zip://'


class ZipLocator:
    """Finds the zip files that a path leads into.

    The nearest zip file on the way up the path, or all zip files in the
    nearest folder that has some, looked into together.

    Args:
        handles: The open archives.
    """

    def __init__(self, handles: ArchiveHandles) -> None:
        self._handles = handles
        self._indexes: dict[Path, ZipIndex] = {}
        self._folders: dict[str, tuple[ZipIndex, str]] = {}

    def file(self, path: str | Path) -> tuple[ZipIndex, str]:
        """Find the index for a file, and the file's name in it.

        Raises:
            MissingFileError: There is no zip file on the way.
        """
        folder, name = os.path.split(_without_prefix(path))
        index, inside = self.folder(folder)
        return index, f'{inside}/{name}' if inside else name

    def folder(self, path: str | Path) -> tuple[ZipIndex, str]:
        """Find the index for a folder, and the folder's name in it.

        Raises:
            MissingFileError: There is no zip file on the way.
        """
        folder = _without_prefix(path)
        if folder not in self._folders:
            root = Path(folder)
            while not (archives := _archives(root)):
                if root == root.parent:
                    raise MissingFileError(
                        f'{PREFIX}{folder}: no zip file there, expected one '
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
    """Name the zip files that a path stands for: itself, or those in it."""
    if path.is_dir():
        return sorted(str(p) for p in path.iterdir() if _is_zip(p))
    return [str(path)] if _is_zip(path) else []


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == '.zip' and path.is_file()

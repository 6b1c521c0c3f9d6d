# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from mmengine.fileio import LocalBackend, register_backend

# Folders that systems make by themselves, beside those that begin with a dot.
OF_SYSTEMS = {
    '#recycle',
    '#snapshot',
    '$RECYCLE.BIN',
    '@Recycle',
    '@__thumb',
    '@eaDir',
    '@tmp',
    '__MACOSX',
}


def is_hidden(name: str | PurePath) -> bool:
    """Tell whether a file or one of the folders in its name is hidden.

    Args:
        name: Relative to a folder, which itself may be hidden.
    """
    parts = PurePath(name).parts
    return any(p.startswith('.') or p in OF_SYSTEMS for p in parts)


@register_backend('local', force=True, prefixes='')
class VisibleFilesBackend(LocalBackend):
    """mmengine's local disk, of which hidden folders are not listed either.

    mmengine leaves out hidden files alone, so that the thumbnails and copies
    that notebooks and network disks keep would become images of a data set.
    """

    def list_dir_or_file(self, *args: Any, **kwargs: Any) -> Iterator[str]:
        """List files and folders as mmengine does, without hidden ones."""
        names = super().list_dir_or_file(*args, **kwargs)
        return (name for name in names if not is_hidden(name))

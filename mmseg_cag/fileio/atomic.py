# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend


@register_backend('atomic')
class AtomicBackend(LocalBackend):
    """Files of the local disk that are written in full or not at all.

    ``backend_args=dict(backend='atomic')`` has mmengine write by it.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes."""
        atomic_write(filepath, obj)

    def put_text(
        self, obj: str, filepath: str | Path, encoding: str = 'utf-8'
    ) -> None:
        """Write text."""
        atomic_write(filepath, obj.encode(encoding))


def atomic_write(path: str | Path, content: bytes) -> None:
    """Write a file atomically: a kill leaves the old or the new one.

    Args:
        path: The file; a draft exists next to it during writing.
        content: Its new content.

    Raises:
        OSError: Writing failed; the old file remains, without a draft.
    """
    path = Path(path)
    with atomic_path(path) as draft, draft.open('wb') as file:
        file.write(content)
        file.flush()
        # Otherwise a power cut could leave the new name on an empty file.
        os.fsync(file.fileno())
    _sync_folder(path.parent)


@contextmanager
def atomic_path(path: Path, ending: str = '') -> Iterator[Path]:
    """Yield a draft path that replaces the file on success.

    Args:
        path: The file; its folder is created.
        ending: Suffix of the draft, for programs that depend on it.

    Yields:
        The draft next to the file; on failure it is removed and the old file
        stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_of(path)
    draft = draft.with_name(f'{draft.name}{ending}')
    try:
        yield draft
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def draft_of(path: Path) -> Path:
    """Return the draft path of a file."""
    return path.with_name(f'.{path.name}.part')


def _sync_folder(folder: Path) -> None:
    if os.name == 'nt':  # it cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DeferredRemovalBackend(LocalBackend):
    """File backend that defers removing superseded checkpoints.

    Args:
        folder: Folder of the files.

    Attributes:
        paths: Files to remove.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.paths: list[str] = []

    def remove(self, filepath: str | Path) -> None:
        """Record a file, unless it is in a former folder of this run."""
        if Path(filepath).parent == self.folder:
            self.paths.append(str(filepath))

    def remove_now(self, keep: list[str]) -> None:
        """Remove the recorded files.

        Args:
            keep: Files that were rewritten and stay.
        """
        for path in self.paths:
            if path not in keep:
                Path(path).unlink(missing_ok=True)

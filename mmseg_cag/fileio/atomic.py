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
    """Write a file so that a kill at any instant leaves the old or the new.

    Args:
        path: The file; a draft of it stands beside it while it is written.
        content: What is to be in it.

    Raises:
        OSError: It cannot be written; the old one is there, and no draft.
    """
    path = Path(path)
    with atomic_path(path) as draft, draft.open('wb') as file:
        file.write(content)
        file.flush()
        # Else a power cut could leave the new name on an empty file.
        os.fsync(file.fileno())
    _sync_folder(path.parent)


@contextmanager
def atomic_path(path: Path, ending: str = '') -> Iterator[Path]:
    """Give a draft to write, which takes a file's place in the end.

    Args:
        path: The file; its folder is made.
        ending: Of the draft's name, for programs that go by it.

    Yields:
        The draft, which stands beside the file; where writing it fails, it
        is removed and the old file stays.
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
    """Name the file that is written in the place of another."""
    return path.with_name(f'.{path.name}.part')


def _sync_folder(folder: Path) -> None:
    if os.name == 'nt':  # it opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DeferredRemovalBackend(LocalBackend):
    """File backend that defers removing superseded checkpoints.

    Args:
        folder: That of the files.

    Attributes:
        paths: Those that are to be removed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.paths: list[str] = []

    def remove(self, filepath: str | Path) -> None:
        """Note a file, unless it is of the folder that this one was once."""
        if Path(filepath).parent == self.folder:
            self.paths.append(str(filepath))

    def remove_now(self, keep: list[str]) -> None:
        """Remove the files that were noted.

        Args:
            keep: Those that were written anew, and stay.
        """
        for path in self.paths:
            if path not in keep:
                Path(path).unlink(missing_ok=True)

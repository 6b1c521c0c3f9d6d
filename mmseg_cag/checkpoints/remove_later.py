# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmengine.fileio import LocalBackend


class RemoveLater(LocalBackend):
    """A disk whose files are removed when something better is there.

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

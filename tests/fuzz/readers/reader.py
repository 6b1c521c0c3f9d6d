# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Reader:
    """A way into the package for a file from outside.

    Args:
        kind: What kind of file, a row of the table.
        name: Which reader.
        file: The file that is mutated, in a folder of its own.
        seeds: Contents that it may have.
        read: Reads it, given the folder.
        beside: Other files of the folder, which stay valid.
    """

    kind: str
    name: str
    file: str
    seeds: list[bytes]
    read: Callable[[Path], object]
    beside: dict[str, bytes] = field(default_factory=dict)

    def place(self, folder: Path, content: bytes) -> None:
        """Write the file and those beside it."""
        for name, part in {**self.beside, self.file: content}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(part)

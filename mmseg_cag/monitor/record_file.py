# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

from mmengine.logging import print_log

from mmseg_cag.checkpoints import write_whole


class RecordFile:
    """What a run notes as it goes: valid JSON, a line each.

    Args:
        path: The file; there is none until something is noted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: dict) -> None:
        """Add a line, which a killed run then still has.

        One for which the disk has no room is left out, and that is said.
        """
        line = json.dumps(record, allow_nan=False)
        try:
            with self.path.open('a') as file:
                file.write(f'{line}\n')
        except OSError as error:
            print_log(
                f'{self.path}: could not be written ({error.strerror}); '
                'training goes on',
                'current',
                logging.ERROR,
            )

    def read(self) -> list[dict]:
        """Read the lines; one that was cut off as it was written is none."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text().splitlines(keepends=True)
        found = [_parse(line) for line in lines if line.endswith('\n')]
        return [record for record in found if record is not None]

    def keep(self, is_kept: Callable[[dict], bool]) -> list[dict]:
        """Drop all other lines.

        Args:
            is_kept: Tells of a record whether it stays.

        Returns:
            The records that stay.
        """
        kept = [record for record in self.read() if is_kept(record)]
        if kept:
            lines = [f'{json.dumps(record)}\n' for record in kept]
            write_whole(self.path, ''.join(lines).encode())
        else:
            self.path.unlink(missing_ok=True)
        return kept


def _parse(line: str) -> dict | None:
    try:
        return json.loads(line)
    except ValueError:  # the disk was full in the middle of a line
        return None

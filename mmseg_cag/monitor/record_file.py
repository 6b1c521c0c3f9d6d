# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from mmseg_cag.errors import UserError
from mmseg_cag.note import parse_note


class RecordFile:
    """What a run notes as it goes: valid JSON, a line each.

    Args:
        path: The file; there is none until something is noted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: dict) -> None:
        """Add a line, which a killed run then still has."""
        line = json.dumps(record, allow_nan=False)
        with self.path.open('a') as file:
            file.write(f'{line}\n')

    def read(self) -> list[dict]:
        """Read the lines; one that was cut off as it was written is none.

        Raises:
            UserError: A line is no record.
        """
        if not self.path.is_file():
            return []
        try:
            lines = self.path.read_text(encoding='utf-8')
        except UnicodeError as error:
            raise UserError(f'{self.path}: no text ({error})') from error
        return [
            parse_note(line, self.path)
            for line in lines.splitlines(keepends=True)
            if line.endswith('\n')
        ]

    def keep(self, is_kept: Callable[[dict], bool]) -> list[dict]:
        """Drop all other lines.

        Args:
            is_kept: Tells of a record whether it stays.

        Returns:
            The records that stay.
        """
        kept = [record for record in self.read() if is_kept(record)]
        self.path.unlink(missing_ok=True)
        for record in kept:
            self.append(record)
        return kept

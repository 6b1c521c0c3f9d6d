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
        return [self._parse(line) for line in self._lines()]

    def keep(self, is_kept: Callable[[dict], bool]) -> list[dict]:
        """Drop all other lines; a file without any is removed.

        Args:
            is_kept: Tells of a record whether it stays.

        Returns:
            The records that stay.
        """
        records = [(line, self._parse(line)) for line in self._lines()]
        kept = [pair for pair in records if is_kept(pair[1])]
        if not kept:
            self.path.unlink(missing_ok=True)
            return []
        # In one go: who is killed here has the old lines or the new ones.
        part = self.path.with_name(f'{self.path.name}.part')
        part.write_text(''.join(line for line, _ in kept), encoding='utf-8')
        part.replace(self.path)
        return [record for _, record in kept]

    def _lines(self) -> list[str]:
        if not self.path.is_file():
            return []
        try:
            lines = self.path.read_text(encoding='utf-8').split('\n')
        except UnicodeError as error:
            raise UserError(f'{self.path}: no text ({error})') from error
        return [f'{line}\n' for line in lines[:-1]]

    def _parse(self, line: str) -> dict:
        record = parse_note(line, self.path)
        if not isinstance(record.get('iter'), int):
            raise UserError(f'{self.path}: a record has no iteration, iter')
        return record

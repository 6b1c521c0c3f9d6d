# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

from mmengine.logging import print_log

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.atomic import atomic_write
from mmseg_cag.fileio.json_file import parse_json


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
        line = f'{json.dumps(record, allow_nan=False)}\n'.encode()
        size = self.path.stat().st_size if self.path.is_file() else 0
        try:
            with self.path.open('ab') as file:
                file.write(line)
        except OSError as error:
            if self.path.is_file():  # half of the line may be in it
                os.truncate(self.path, size)
            print_log(
                f'{self.path}: could not be written ({error.strerror}); '
                'training goes on',
                'current',
                logging.ERROR,
            )

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
        if kept:
            text = ''.join(line for line, _ in kept)
            atomic_write(self.path, text.encode())
        else:
            self.path.unlink(missing_ok=True)
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
        record = parse_json(line, self.path)
        if not isinstance(record.get('iter'), int):
            raise UserError(f'{self.path}: a record has no iteration, iter')
        return record

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

from mmengine.logging import print_log

from mmseg_cag.checkpoints import write_whole
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
        """Add a line, which a killed run then still has.

        One for which the disk has no room is left out, and that is said.
        """
        line = _line(record).encode()
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
        """Drop all other lines; a file without any is removed.

        Args:
            is_kept: Tells of a record whether it stays.

        Returns:
            The records that stay.
        """
        kept = [record for record in self.read() if is_kept(record)]
        if kept:
            write_whole(self.path, ''.join(map(_line, kept)).encode())
        else:
            self.path.unlink(missing_ok=True)
        return kept


def _line(record: dict) -> str:
    line = json.dumps(record, allow_nan=False)
    return f'{line}\n'

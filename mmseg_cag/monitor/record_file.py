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
    """Records of a run as JSON lines.

    Args:
        path: The file, created by the first record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: dict) -> None:
        """Append a line that survives a kill.

        If the disk is full, the line is dropped with a warning.
        """
        line = f'{json.dumps(record, allow_nan=False)}\n'.encode()
        size = self.path.stat().st_size if self.path.is_file() else 0
        try:
            with self.path.open('ab') as file:
                file.write(line)
        except OSError as error:
            if self.path.is_file():  # it may contain half of the line
                os.truncate(self.path, size)
            print_log(
                f'{self.path}: could not be written ({error.strerror}); '
                'training continues',
                'current',
                logging.ERROR,
            )

    def read(self) -> list[dict]:
        """Read the lines, except an incomplete last one.

        Raises:
            UserError: A line is not a record.
        """
        return [self._parse(line) for line in self._lines()]

    def keep(self, is_kept: Callable[[dict], bool]) -> list[dict]:
        """Keep only selected lines; remove the file if none remain.

        Args:
            is_kept: Predicate of the records to keep.

        Returns:
            The remaining records.
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
            raise UserError(
                f'{self.path}: not a text file ({error})'
            ) from error
        return [f'{line}\n' for line in lines[:-1]]

    def _parse(self, line: str) -> dict:
        record = parse_json(line, self.path)
        if not isinstance(record.get('iter'), int):
            raise UserError(f'{self.path}: a record has no iteration, iter')
        return record

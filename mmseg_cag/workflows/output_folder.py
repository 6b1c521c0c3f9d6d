# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
from pathlib import Path

from mmengine.logging import print_log

from mmseg_cag.engine.records.recipe import list_changes
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.json_file import read_note, write_note
from mmseg_cag.fileio.safe_path import require_inside


class OriginFolder:
    """A folder of files that appears complete or not at all.

    The work is done in ``<path>.part``, which takes the folder's name in the
    end; what is interrupted is gone on with. A note in it tells its origin,
    and a folder of another origin is never touched.

    Args:
        path: The folder.
        origin: All that its files depend on, as plain data of JSON.
        note: Name of the note.
        content: What the files are, for messages.
    """

    def __init__(
        self, path: Path, origin: dict, note: str, content: str
    ) -> None:
        self.path = path
        self.origin = origin
        self.note = note
        self.content = content
        self.draft = path.with_name(f'{path.name}.part')

    def is_complete(self) -> bool:
        """Whether the files of this very origin are there.

        Raises:
            UserError: The folder or its draft is something else's.
        """
        self._is_ours(self.draft)
        return self._is_ours(self.path)

    def begin(self) -> None:
        """Make the draft, or go on with it."""
        if (self.draft / self.note).is_file():
            print_log(f'{self.draft}: gone on with', 'current')
        self.draft.mkdir(parents=True, exist_ok=True)
        write_note(self.draft / self.note, {'origin': self.origin})

    def file(self, name: str) -> Path:
        """Give the place of a file in the draft, its folder being made.

        Raises:
            UserError: The name, such as one of a data set's list, leads out.
        """
        path = self.draft / name
        require_inside(path, self.draft)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def finish(self, results: dict) -> None:
        """Note the results and give the draft the folder's name."""
        write_note(self.draft / self.note, {'origin': self.origin, **results})
        os.replace(self.draft, self.path)

    def _is_ours(self, folder: Path) -> bool:
        if not folder.exists() or not any(folder.iterdir()):
            return False
        if not (folder / self.note).is_file():
            raise UserError(
                f'{folder}: holds files but no {self.note}, expected an empty '
                'folder or none'
            )
        held = read_note(folder / self.note).get('origin')
        if not isinstance(held, dict):
            raise UserError(f'{folder / self.note}: has no origin')
        if changes := list_changes(held, self.origin):
            more = f' and {len(changes) - 2} more' if len(changes) > 2 else ''
            raise UserError(
                f'{folder}: holds {self.content} of another origin, '
                f'{"; ".join(changes[:2])}{more}; move it away or name '
                'another folder'
            )
        return True

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from mmseg_cag.engine.recipe import list_changes
from mmseg_cag.errors import UserError

from .label_note import NOTE, read_note, write_note


class LabelFolder:
    """A folder of pseudo labels that appears complete or not at all.

    The work is done in ``<path>.part``, which takes the folder's name in the
    end; what is interrupted is gone on with. A folder of another origin is
    never touched.

    Args:
        path: The folder.
        origin: All that its labels depend on, as plain data of JSON.
    """

    def __init__(self, path: Path, origin: dict) -> None:
        self.path = path
        self.origin = origin
        self.draft = path.with_name(f'{path.name}.part')
        self.predictions = self.draft / 'predictions'

    def is_complete(self) -> bool:
        """Whether the labels of this very origin are there.

        Raises:
            UserError: The folder or its draft is something else's.
        """
        self._is_ours(self.draft)
        return self._is_ours(self.path)

    def begin(self) -> None:
        """Make the draft, or go on with it."""
        if (self.draft / NOTE).is_file():
            print_log(f'{self.draft}: gone on with', 'current')
        self.draft.mkdir(parents=True, exist_ok=True)
        write_note(self.draft, {'origin': self.origin})

    def write(self, name: str, labels: np.ndarray) -> None:
        """Write a label map (H, W) uint8 to the draft."""
        path = self.draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(path)

    def finish(self, results: dict) -> None:
        """Note the results and give the draft the folder's name."""
        shutil.rmtree(self.predictions)
        write_note(self.draft, {'origin': self.origin, **results})
        os.replace(self.draft, self.path)

    def _is_ours(self, folder: Path) -> bool:
        if not folder.exists() or not any(folder.iterdir()):
            return False
        if not (folder / NOTE).is_file():
            raise UserError(
                f'{folder}: holds files but no {NOTE}, expected an empty '
                'folder or none'
            )
        held = read_note(folder)['origin']
        if changes := list_changes(held, self.origin):
            more = f' and {len(changes) - 2} more' if len(changes) > 2 else ''
            raise UserError(
                f'{folder}: holds pseudo labels of another origin, '
                f'{"; ".join(changes[:2])}{more}; move it away or name '
                'another folder'
            )
        return True

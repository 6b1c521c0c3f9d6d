# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmengine.logging import print_log

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.fileio.json_file import read_json


@dataclass(frozen=True)
class Step:
    """A piece of work in its own folder, done once per recipe.

    A file ``step.json`` records the recipe when the work starts and its
    seconds when it is complete. The same recipe is reused if complete, else
    resumed; for another one, the folder is moved away and work restarts.

    Attributes:
        name: Display name.
        folder: Folder of the results.
        recipe: Everything the result depends on, as plain data.
    """

    name: str
    folder: Path
    recipe: dict

    @property
    def fingerprint(self) -> str:
        """Return the hash of the recipe."""
        text = json.dumps(self.recipe, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def state(self) -> dict:
        """Return the folder's record, empty if there is none."""
        try:
            return read_json(self.folder / 'step.json')
        except UserError:
            return {}

    @property
    def is_complete(self) -> bool:
        """Return whether the result of exactly this recipe exists."""
        state = self.state
        return (
            state.get('fingerprint') == self.fingerprint and 'seconds' in state
        )

    def run(self, work: Callable[[], None]) -> float:
        """Do the work unless already done.

        Args:
            work: Does the work; called again in the same folder after an
                interruption, it must resume.

        Returns:
            Seconds that the work took, now or earlier.

        Raises:
            UserError: The folder contains other files.
        """
        if self.is_complete:
            print_log(f'== {self.name}: complete in {self.folder}, reused')
            return self.state['seconds']
        before = 0.0
        if self.state.get('fingerprint') == self.fingerprint:
            before = self.state['spent']
            print_log(f'== {self.name}: resuming in {self.folder}')
        elif self.state:
            print_log(
                f'== {self.name}: settings changed, starting from scratch'
            )
            self._clear()
        elif self.folder.is_dir() and any(self.folder.iterdir()):
            raise UserError(
                f'{self.folder}: contains files of something else, '
                'expected an empty folder'
            )
        else:
            print_log(f'== {self.name}')
        self._note(spent=before)
        start = time.monotonic()
        try:
            work()
        finally:
            seconds = before + time.monotonic() - start
            self._note(spent=seconds)
        self._note(seconds=round(seconds, 1))
        return self.state['seconds']

    def _clear(self) -> None:
        # Renamed first, so that a kill never leaves half of the old results.
        trash = self.folder.with_name(f'{self.folder.name}.old')
        shutil.rmtree(trash, ignore_errors=True)
        os.replace(self.folder, trash)
        shutil.rmtree(trash)

    def _note(self, **state: float) -> None:
        state = {
            'fingerprint': self.fingerprint,
            'recipe': self.recipe,
            **state,
        }
        with atomic_path(self.folder / 'step.json') as draft:
            draft.write_text(json.dumps(state, indent=1, default=str))

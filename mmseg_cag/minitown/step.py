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
    """A piece of work in a folder of its own, done once for one recipe.

    A file ``step.json`` notes the recipe when the work begins and its seconds
    when it is complete. The same recipe is reused if complete and resumed if
    not; another one puts the folder away and starts afresh.

    Attributes:
        name: What the user reads.
        folder: Where the results go.
        recipe: All that the result depends on, as plain data.
    """

    name: str
    folder: Path
    recipe: dict

    @property
    def fingerprint(self) -> str:
        """Hash of the recipe."""
        text = json.dumps(self.recipe, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def state(self) -> dict:
        """What the folder notes, empty where it notes nothing."""
        try:
            return read_json(self.folder / 'step.json')
        except UserError:
            return {}

    @property
    def is_complete(self) -> bool:
        """Whether the result of this very recipe is there."""
        state = self.state
        return (
            state.get('fingerprint') == self.fingerprint and 'seconds' in state
        )

    def run(self, work: Callable[[], None]) -> float:
        """Do the work unless it is done already.

        Args:
            work: Does it; called again after an interruption, in the same
                folder, it is to go on from where it was.

        Returns:
            Seconds that the work took, now or when it was done.

        Raises:
            UserError: The folder holds files of something else.
        """
        if self.is_complete:
            print_log(f'== {self.name}: complete in {self.folder}, reused')
            return self.state['seconds']
        before = 0.0
        if self.state.get('fingerprint') == self.fingerprint:
            before = self.state['spent']
            print_log(f'== {self.name}: goes on in {self.folder}')
        elif self.state:
            print_log(
                f'== {self.name}: its settings have changed, starts afresh'
            )
            self._clear()
        elif self.folder.is_dir() and any(self.folder.iterdir()):
            raise UserError(
                f'{self.folder}: holds files that are not of this step, '
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
        # Renamed first, so that no kill leaves half of the old results.
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

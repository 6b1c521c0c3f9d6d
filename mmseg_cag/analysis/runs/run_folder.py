# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmseg_cag.errors import MissingFileError
from mmseg_cag.launch.cfg_options import merge_options
from mmseg_cag.launch.stages import stage_length

from .dumped_config import read_dumped_config

CHECKPOINT = re.compile(r'iter_(\d+)\.pth')


@dataclass(frozen=True)
class RunFolder:
    """A work dir with at least one checkpoint.

    Attributes:
        path: The folder.
        cfg: The run's config.
        checkpoints: By iteration, ascending; none that was kept for its
            result on labels.
    """

    path: Path
    cfg: Config
    checkpoints: dict[int, Path]

    @property
    def stage_iters(self) -> int | None:
        """Iterations of a stage; None for a run without stages."""
        return stage_length(self.cfg)

    def stage_of(self, iteration: int) -> int | None:
        """Number the stage, from 1, that ends at or after an iteration."""
        length = self.stage_iters
        return -(-iteration // length) if length else None

    @property
    def stage_ends(self) -> dict[str, Path]:
        """The last checkpoint of each stage, or of the run, by its title."""
        ends = {}
        for iteration, path in self.checkpoints.items():
            stage = self.stage_of(iteration)
            ends[f'Stage {stage}' if stage else 'Last checkpoint'] = path
        return ends


def open_run(folder: Path, options: dict | None = None) -> RunFolder:
    """Find a run's config and checkpoints.

    Args:
        folder: Its work dir.
        options: Settings to override, such as where the data is now.

    Raises:
        MissingFileError: There is no such folder, no config or no checkpoint.
        UserError: The config is damaged.
    """
    if not folder.is_dir():
        raise MissingFileError(f'{folder}: no such work dir')
    found = find_checkpoints(folder)
    if not found:
        raise MissingFileError(
            f'{folder}: no checkpoint iter_*.pth, expected the work dir of a '
            'run'
        )
    cfg = read_config(folder)
    if options:
        merge_options(cfg, options)
    return RunFolder(folder, cfg, found)


def find_checkpoints(folder: Path) -> dict[int, Path]:
    """Find the checkpoints that a run has kept, by iteration, ascending."""
    found = {
        int(match[1]): path
        for path in folder.glob('iter_*.pth')
        if (match := CHECKPOINT.fullmatch(path.name))
    }
    return dict(sorted(found.items()))


def read_config(folder: Path) -> Config:
    """Read the config that a runner left in its work dir.

    Raises:
        MissingFileError: There is none.
        UserError: It is damaged.
    """
    # The runner writes it there; of several, it has written the newest last.
    paths = sorted(folder.glob('*.py'), key=lambda path: path.stat().st_mtime)
    if not paths:
        raise MissingFileError(f'{folder}: no config *.py of the run')
    return read_dumped_config(paths[-1])

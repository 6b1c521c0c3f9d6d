# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Runs that differ from one config in a few settings, each in its folder."""

from __future__ import annotations

import copy
from pathlib import Path

from mmengine.config import Config


def placed(cfg: Config, folder: Path, options: dict) -> Config:
    """Give a run a folder and settings, and what it starts from the same.

    Args:
        cfg: The config; it stays as it is.
        folder: Of the run; the start's is beside it, and ends in ``_start``.
        options: Settings of both.

    Returns:
        The config of the run.
    """
    cfg = copy.deepcopy(cfg)
    options = {**options, 'work_dir': str(folder)}
    if cfg.get('start_from'):
        start = {**options, 'work_dir': f'{folder}_start'}
        options['start_options'] = start
    cfg.merge_from_dict(options)
    return cfg

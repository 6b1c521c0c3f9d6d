# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Derive runs from one config with a few changed settings."""

from __future__ import annotations

import copy
from pathlib import Path

from mmengine.config import Config


def placed(cfg: Config, folder: Path, options: dict) -> Config:
    """Set folder and settings of a run and of its warm-up.

    Args:
        cfg: The config; left unchanged.
        folder: Of the run; its start's is beside it, with suffix ``_start``.
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

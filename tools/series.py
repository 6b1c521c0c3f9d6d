# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Derive runs from one config with a few changed settings."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config


def placed(
    cfg: Config, folder: Path, options: Callable[[Config], dict]
) -> Config:
    """Set folder and settings of a run and of all runs that it starts from.

    Args:
        cfg: The config, with its launcher; left unchanged.
        folder: Of the run; its start's is beside it, with suffix ``_start``,
            and so on.
        options: Gives the settings of each of them from its config.

    Returns:
        The config of the run.

    Raises:
        UserError: A config of the chain is missing or wrong.
    """
    from mmseg_cag.launch.chain import load_chain

    cfg = copy.deepcopy(cfg)
    cfg.work_dir = str(folder)
    settings: dict = {}
    chain = load_chain(copy.deepcopy(cfg))
    for number, run in enumerate(chain, start=1 - len(chain)):
        start = {'start_options': settings} if settings else {}
        own = f'{folder}{"_start" * -number}'
        settings = {**options(run), 'work_dir': own, **start}
    cfg.merge_from_dict(settings)
    return cfg

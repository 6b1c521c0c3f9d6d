# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Work of a benchmark process."""

from __future__ import annotations

from mmengine.config import Config

from .measure import Place, measure
from .methods import Row


def do_row(argument: tuple[Place, Row]) -> dict:
    """Train and score a row."""
    # A runner formats its config twice, which takes longer than evaluating.
    Config.pretty_text = property(plain_text)
    return measure(*argument)


def plain_text(cfg: Config) -> str:
    """Format a config as Python without wrapping lines."""
    return '\n'.join(f'{k} = {v!r}' for k, v in cfg.to_dict().items())

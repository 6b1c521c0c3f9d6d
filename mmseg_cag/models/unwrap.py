# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def bare_model(runner: Runner) -> nn.Module:
    """Get the model out of its distributed wrapper."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model


def current_stage(runner: Runner) -> int | None:
    """Get the number of the stage that a run is in, if it has stages."""
    stage = getattr(bare_model(runner), 'stage', None)
    return None if stage is None else int(stage)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor, nn

from mmseg_cag.errors import UserError

from .stage_hook import bare_model

PREDICTING = ('backbone.', 'neck.', 'decode_head.', 'generators.')


@HOOKS.register_module()
class CheckCheckpointHook(Hook):
    """Refuse a checkpoint that is not of this network.

    mmengine loads whatever fits and warns of the rest, so that a network of
    random weights can be trained on or evaluated unawares.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the parts that predict, key by key.

        Raises:
            UserError: One is missing or has another shape.
        """
        found = checkpoint.get('state_dict', checkpoint)
        require_same_network(bare_model(runner), found, runner._load_from)


def require_same_network(
    model: nn.Module, found: dict[str, Tensor], path: str | Path
) -> None:
    """Compare a checkpoint with the parts of a network that predict.

    Args:
        model: The network.
        found: Weights of the checkpoint by key.
        path: Its file, for the error.

    Raises:
        UserError: One is missing or has another shape.
    """
    for key, value in model.state_dict().items():
        if not key.startswith(PREDICTING) or 'num_batches' in key:
            continue
        if key not in found:
            problem = 'is not in it'
        elif found[key].shape != value.shape:
            problem = f'has shape {tuple(found[key].shape)} in it'
        else:
            continue
        raise UserError(
            f'{path}: a checkpoint of another network, {key} '
            f'{problem}, expected shape {tuple(value.shape)}'
        )

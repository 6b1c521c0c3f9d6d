# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmseg.registry import HOOKS
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.domain_norms import complete
from mmseg_cag.models.segmentors.base import bare_model

PREDICTING = ('backbone.', 'neck.', 'decode_head.', 'generators.')
# Parts that a checkpoint may lack; those it has must fit.
HELPING = ('teacher.module.', 'start.')


@HOOKS.register_module()
class CheckCheckpointHook(Hook):
    """Refuse a checkpoint that does not fit the network.

    mmengine loads whatever fits and warns about the rest, so a network with
    random weights can be trained or evaluated unnoticed. A head may convert
    another head's weights (`HRDAHead.adopt`). A model with further
    requirements checks them in ``require_state(state, path)``; without a
    labelled source nothing else would reveal classes in another order.

    A run that starts from a checkpoint, and is not resumed, keeps the networks
    that its config names, such as a fixed teacher.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the prediction modules and the teacher.

        Raises:
            UserError: A key is missing or has another shape.
        """
        found = checkpoint.get('state_dict', checkpoint)
        model = bare_model(runner)
        if isinstance(runner._train_loop, BaseLoop) and not (
            runner._resume or runner.iter
        ):
            forget_named_parts(model, found)
        if hasattr(getattr(model, 'decode_head', None), 'adopt'):
            model.decode_head.adopt(found, 'decode_head.')
        if getattr(model, 'domain_norms', None) is not None:
            complete(model, found, '')
        if hasattr(model, 'require_state'):
            model.require_state(found, runner._load_from)
            require_classes(runner, checkpoint)
        for key, value in model.state_dict().items():
            if not key.startswith((*PREDICTING, *HELPING)):
                continue
            may_lack = key.startswith(HELPING) or 'num_batches' in key
            if key not in found and may_lack:
                continue
            if key not in found:
                problem = 'is not in it'
            elif found[key].shape != value.shape:
                problem = f'has shape {tuple(found[key].shape)} in it'
            else:
                continue
            raise UserError(
                f'{runner._load_from}: a checkpoint of another network, {key} '
                f'{problem}, expected shape {tuple(value.shape)}'
            )


def forget_named_parts(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Remove networks that the config names from a checkpoint's weights."""
    parts = [*getattr(model, 'named_parts', ())]
    if getattr(getattr(model, 'teacher', None), 'is_fixed', False):
        parts.append('teacher')
    marks = tuple(f'{part}.' for part in parts)
    for key in [key for key in state if key.startswith(marks)]:
        del state[key]


def require_classes(runner: Runner, checkpoint: dict) -> None:
    """Compare the classes a checkpoint names with those of training.

    Raises:
        UserError: They differ.
    """
    meta = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
    if 'classes' not in meta or not isinstance(runner._train_loop, BaseLoop):
        return
    named = list(meta['classes'])
    own = list(runner.train_dataloader.dataset.metainfo['classes'])
    if named != own:
        raise UserError(
            f'{runner._load_from}: has the classes {", ".join(named)}, '
            f'expected those of the data, {", ".join(own)}'
        )

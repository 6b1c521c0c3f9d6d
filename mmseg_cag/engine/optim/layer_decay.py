# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import re

from mmengine.optim import OptimWrapper
from mmseg.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
)
from torch import nn

from mmseg_cag.errors import UserError

BLOCK = re.compile(r'backbone\.blocks\.(\d+)\.')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class EncoderOptimWrapperConstructor:
    """Layer-wise learning rates for the blocks of an encoder.

    The config's rate applies to the heads and to backbone parts outside the
    ViT; the last block's rate is multiplied by ``encoder_mult``, and each
    earlier block, then the embeddings, by a further ``layer_decay``. Weight
    decay is the same for all. Frozen parameters are in no group.

    .. code:: python

       optim_wrapper = dict(
           constructor='EncoderOptimWrapperConstructor',
           paramwise_cfg=dict(encoder_mult=0.1, layer_decay=0.9),
           type='OptimWrapper',
           optimizer=dict(type='AdamW', lr=1e-4),
       )

    Args:
        optim_wrapper_cfg: The config, without ``constructor``.
        paramwise_cfg: ``encoder_mult`` and ``layer_decay``, both 1 by
            default.

    Raises:
        UserError: ``paramwise_cfg`` has other keys.

    Source: VFM-UDA and VFM-UDA++ as released.
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        known = dict(encoder_mult=1.0, layer_decay=1.0)
        rates = {**known, **(paramwise_cfg or {})}
        if unknown := rates.keys() - known.keys():
            raise UserError(
                f'optim_wrapper.paramwise_cfg.{min(unknown)}: expected '
                f'{" or ".join(known)}'
            )
        self.cfg = dict(optim_wrapper_cfg)
        self.rates = rates

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer.

        Raises:
            UserError: The model has no ``backbone.blocks``.
        """
        model = getattr(model, 'module', model)
        blocks = getattr(getattr(model, 'backbone', None), 'blocks', None)
        if blocks is None:
            raise UserError(
                f'EncoderOptimWrapperConstructor: {type(model).__name__} has '
                'no backbone.blocks, expected a backbone such as DINOv2'
            )
        cfg = dict(self.cfg)
        optimizer = dict(cfg.pop('optimizer'))
        cfg.setdefault('type', 'OptimWrapper')
        groups: dict[int, list] = {}
        added = getattr(model.backbone, 'added', ())
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                depth = depth_of(name, len(blocks), added)
                groups.setdefault(depth, []).append(parameter)
        optimizer['params'] = [
            dict(params=params, lr=optimizer['lr'] * self._share(depth))
            for depth, params in sorted(groups.items())
        ]
        return OPTIM_WRAPPERS.build(
            cfg, default_args=dict(optimizer=OPTIMIZERS.build(optimizer))
        )

    def _share(self, depth: int) -> float:
        if depth == 0:
            return 1.0
        decay = self.rates['layer_decay'] ** (depth - 1)
        return self.rates['encoder_mult'] * decay


def depth_of(name: str, blocks: int, added: tuple[str, ...]) -> int:
    """Compute a parameter's depth counted from the heads.

    Args:
        name: The parameter's name in the segmentor.
        blocks: Blocks of the backbone.
        added: Parts of the backbone that count as heads.

    Returns:
        0 for the heads, 1 for the last block, and so on; the embeddings have
        one more than the first block.
    """
    if match := BLOCK.match(name):
        return blocks - int(match[1])
    part, _, rest = name.partition('.')
    if part != 'backbone' or rest.split('.')[0] in added:
        return 0
    return blocks + 1

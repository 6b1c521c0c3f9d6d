# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Low-rank updates of an encoder's linear layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_cag.errors import UserError

LAYERS = ('attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2')
PARTS = ('lora_A', 'lora_B', 'lora_scale')


def insert_lora(
    encoder: nn.Module,
    rank: int,
    alpha: float | None = None,
    layers: Sequence[str] = ('attn.qkv', 'attn.proj'),
) -> None:
    """Add trainable low-rank updates to linear layers; freeze the rest.

    A layer computes W x + b + (alpha / rank) B A x; only A (rank, in) and B
    (out, rank) are trained, and B starts at zero. Their checkpoint keys are
    ``lora_A`` and ``lora_B`` beside ``weight``.

    Args:
        encoder: The encoder; the rest of it is frozen.
        rank: Rank of the updates.
        alpha: Their scale; the rank by default.
        layers: Suffixes of the layers' names.

    Raises:
        UserError: The rank is not positive, or no layer matches.

    Source: LoRA, Hu et al., ICLR 2022, Sec. 4.1.
    """
    if not isinstance(rank, int) or rank < 1:
        raise UserError(
            f'model.backbone.lora.rank={rank!r}, expected a positive integer'
        )
    found = [
        module
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear) and name.endswith(tuple(layers))
    ]
    if not found:
        raise UserError(
            f'model.backbone.lora.layers={list(layers)}: '
            f'{type(encoder).__name__} has no such linear layer, expected a '
            f'transformer and layers among {list(LAYERS)}'
        )
    encoder.requires_grad_(False)
    for linear in found:
        own = linear.weight.new_empty(rank, linear.in_features)
        linear.lora_A = nn.Parameter(nn.init.kaiming_uniform_(own, a=5**0.5))
        other = linear.weight.new_zeros(linear.out_features, rank)
        linear.lora_B = nn.Parameter(other)
        scale = torch.tensor((rank if alpha is None else alpha) / rank)
        linear.register_buffer('lora_scale', scale)
        linear.register_forward_hook(_add_update)


def _add_update(linear: nn.Linear, inputs: tuple, out: Tensor) -> Tensor:
    update = F.linear(F.linear(inputs[0], linear.lora_A), linear.lora_B)
    return out + linear.lora_scale * update


def is_lora(key: str) -> bool:
    """Return whether a checkpoint key belongs to a low-rank update."""
    return key.endswith(PARTS)


def merge_lora(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Merge the updates into the weights.

    Args:
        state: Weights of a network, with or without updates.
    """
    merged = {key: value for key, value in state.items() if not is_lora(key)}
    for key, a in state.items():
        if key.endswith('lora_A'):
            start = key.removesuffix('lora_A')
            update = state[f'{start}lora_B'] @ a * state[f'{start}lora_scale']
            merged[f'{start}weight'] = merged[f'{start}weight'] + update
    return merged

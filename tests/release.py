# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The small networks of the reference values, and how they are read."""

from __future__ import annotations

import numpy as np
import torch
from checkpoint_formats import Part, daformer_head, join_mit, mit
from mmengine.model import ModuleList
from mmseg.models.backbones import MixVisionTransformer
from mmseg.models.backbones.mit import TransformerEncoderLayer
from mmseg.models.utils import PatchEmbed
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.models.backbones.released_mit import set_released_eps
from tests import golden

HEADS, WIDTHS = (1, 2, 5, 8), (8, 16, 20, 32)
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@MODELS.register_module()
class SmallMiT(MixVisionTransformer):
    """One block a stage, of widths that mmseg does not offer."""

    def __init__(self) -> None:
        super().__init__(
            embed_dims=8,
            num_layers=[1, 1, 1, 1],
            num_heads=list(HEADS),
            sr_ratios=[8, 4, 2, 1],
            mlp_ratio=2,
            qkv_bias=True,
            drop_path_rate=0.0,
        )
        norm = dict(type='LN', eps=1e-6)
        for i, (heads, width) in enumerate(zip(HEADS, WIDTHS, strict=True)):
            if i == 0:
                continue
            embedding = PatchEmbed(
                in_channels=WIDTHS[i - 1],
                embed_dims=width,
                kernel_size=3,
                stride=2,
                padding=1,
                norm_cfg=norm,
            )
            block = TransformerEncoderLayer(
                embed_dims=width,
                num_heads=heads,
                feedforward_channels=2 * width,
                norm_cfg=norm,
                sr_ratio=(8, 4, 2, 1)[i],
            )
            self.layers[i] = ModuleList(
                [embedding, ModuleList([block]), nn.LayerNorm(width, 1e-6)]
            )
        set_released_eps(self)


def small_head(num_classes: int = 19, **kwargs) -> dict:
    """Config of DAFormer's head for it."""
    return dict(
        type='DAFormerHead',
        in_channels=list(WIDTHS),
        channels=16,
        dropout_ratio=0,
        num_classes=num_classes,
        align_corners=False,
        **kwargs,
    )


def read(name: str) -> dict[str, Tensor]:
    """Read reference values; text stays an array."""
    case = np.load(golden.golden_file(f'modern/{name}.npz'))
    arrays = {key: case[key] for key in case.files}
    return {
        key: value if value.dtype.kind == 'U' else torch.from_numpy(value)
        for key, value in arrays.items()
    }


def group(case: dict, name: str) -> dict:
    """The arrays of a group, without its name."""
    start = f'{name}/'
    return {
        key.removeprefix(start): value
        for key, value in case.items()
        if key.startswith(start)
    }


def renamed(
    state: dict[str, Tensor], parts: list[Part] | None = None
) -> dict[str, Tensor]:
    """Weights, or gradients, of a small network under our names."""
    names = {
        f'{part.source}.{tensor}': f'{part.target}.{tensor}'
        for part in parts or mit((1, 1, 1, 1)) + daformer_head()
        for tensor in part.tensors
    }
    return join_mit({names[key]: value for key, value in state.items()})


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Compare, relative to the largest value of all."""
    assert actual.shape == expected.shape
    limit = tolerance * expected.abs().max().item()
    torch.testing.assert_close(
        actual, expected.to(actual.dtype), rtol=0, atol=limit
    )

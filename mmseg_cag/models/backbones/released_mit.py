# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

from mmseg.models.backbones import MixVisionTransformer
from mmseg.registry import MODELS


@MODELS.register_module()
class ReleasedMiT(MixVisionTransformer):
    """mmseg's MiT with the layer-norm eps of the released weights.

    mmseg gives all layer norms an eps of 1e-6. The release uses 1e-5,
    PyTorch's default, in patch embeddings and spatial reductions; with it the
    feature maps are bit-identical.

    Args:
        **kwargs: Arguments of `MixVisionTransformer`.

    Source: SegFormer and DAFormer as released.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        set_released_eps(self)


def set_released_eps(network: MixVisionTransformer) -> None:
    """Set the release's eps in patch embeddings and spatial reductions."""
    for embedding, blocks, _ in network.layers:
        embedding.norm.eps = 1e-5
        for block in blocks:
            if block.attn.sr_ratio > 1:
                block.attn.norm.eps = 1e-5

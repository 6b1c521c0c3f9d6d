# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

from mmseg.models.backbones import MixVisionTransformer
from mmseg.registry import MODELS


@MODELS.register_module()
class ReleasedMiT(MixVisionTransformer):
    """mmseg's MiT with the norms of the release that its weights are from.

    mmseg gives all layer norms an eps of 1e-6. In the release those of the
    patch embeddings and of the spatial reductions have 1e-5, PyTorch's own;
    with them the feature maps are the same bit by bit.

    Args:
        **kwargs: Those of `MixVisionTransformer`.

    Source: SegFormer and DAFormer as released.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        set_released_eps(self)


def set_released_eps(network: MixVisionTransformer) -> None:
    """Give patch embeddings and spatial reductions the release's eps."""
    for embedding, blocks, _ in network.layers:
        embedding.norm.eps = 1e-5
        for block in blocks:
            if block.attn.sr_ratio > 1:
                block.attn.norm.eps = 1e-5

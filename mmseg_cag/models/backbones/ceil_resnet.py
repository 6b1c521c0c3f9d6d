# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS


@MODELS.register_module()
class CeilResNet(ResNet):
    """ResNet of the DeepLab-V2 family: its max-pool rounds sizes up.

    With aligned corners in upsampling, 65x129 features of a 512x1024 image
    differ in geometry from the 64x128 of the ordinary pool. All other
    properties of the family's backbone are arguments: ``strides=(1, 2, 1,
    1)``, ``dilations=(1, 1, 2, 4)``, ``contract_dilation=False`` and
    ``style='caffe'``.

    Source: AdaptSegNet, CLAN, BDL and ProDA as released.
    """

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        super()._make_stem_layer(in_channels, stem_channels)
        self.maxpool.ceil_mode = True

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.models.translation.resnet_generator import INIT, InstanceNorm

# legend: N images, H W image


@MODELS.register_module()
class PatchDiscriminator(BaseModule):
    """Judge of the patches of an image: is it real or translated?

    With three layers a value sees 70x70 pixels, with two 34x34.

    Args:
        channels: Channels of the first layer; each next doubles them, up to
            eight times as many.
        num_layers: Layers of stride 2.
        init_cfg: How weights are drawn.

    Source: CycleGAN, Sec. 4; BDL takes 64 channels and 3 layers.
    """

    def __init__(
        self,
        channels: int = 64,
        num_layers: int = 3,
        init_cfg: dict | None = INIT,
    ) -> None:
        super().__init__(init_cfg)
        widths = [channels * min(2**i, 8) for i in range(num_layers + 1)]
        layers = [nn.Conv2d(3, channels, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for i in range(num_layers):
            stride = 2 if i < num_layers - 1 else 1
            layers += [
                nn.Conv2d(widths[i], widths[i + 1], 4, stride, 1),
                InstanceNorm(widths[i + 1]),
                nn.LeakyReLU(0.2, True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Judge images (N, 3, H, W) in [-1, 1] by a map (N, 1, h, w)."""
        return self.layers(images)

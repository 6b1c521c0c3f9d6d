# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Lightweight heads of VFM-UDA and VFM-UDA++."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.models.channel_norm import ChannelNorm

# legend: N images, K classes, D channels of the encoder, h w feature size


class NoBiasHead(BaseDecodeHead):
    """A head whose classifier has no bias and N(0, 0.1) weights."""

    def __init__(self, **kwargs: Any) -> None:
        init = dict(type='Normal', std=0.1, override=dict(name='conv_seg'))
        super().__init__(dropout_ratio=0, init_cfg=init, **kwargs)
        self.conv_seg = nn.Conv2d(
            self.channels, self.out_channels, 1, bias=False
        )


@MODELS.register_module()
class VFMUDAHead(NoBiasHead):
    """Two 2x upsamplings of an encoder's last map and a classifier.

    The features have a quarter of the encoder's channels at four times its
    resolution. All but the classifier uses PyTorch's default initialisation.

    Args:
        in_channels: Channels D.
        **kwargs: Arguments of `BaseDecodeHead`; not ``channels`` or
            ``dropout_ratio``.

    Source: VFM-UDA, Englert et al., CVPRW 2024, as released.
    """

    def __init__(self, in_channels: int, **kwargs: Any) -> None:
        half, quarter = in_channels // 2, in_channels // 4
        super().__init__(in_channels=in_channels, channels=quarter, **kwargs)
        up = dict(kernel_size=2, stride=2, bias=False)
        self.upscale = nn.Sequential(
            nn.ConvTranspose2d(in_channels, half, **up),
            ChannelNorm(half, eps=1e-6),
            nn.GELU(),
            nn.ConvTranspose2d(half, quarter, **up),
            ChannelNorm(quarter, eps=1e-6),
            nn.Conv2d(quarter, quarter, 3, padding=1, bias=False),
            ChannelNorm(quarter, eps=1e-6),
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute class scores (N, K, 4 h, 4 w).

        Args:
            inputs: Maps of the backbone; ``in_index`` selects one
                (N, D, h, w).
        """
        return self.cls_seg(self.upscale(self._transform_inputs(inputs)))


@MODELS.register_module()
class VFMUDAPlusHead(NoBiasHead):
    """A top-down pyramid from the coarsest of four maps to the finest.

    Each step doubles the resolution, halves the channels and adds the next
    map. The features have an eighth of the encoder's channels.

    Args:
        in_channels: Channels D of each map.
        norm_cfg: Batch norm; `SyncBN` for several GPUs.
        **kwargs: Arguments of `BaseDecodeHead`, except ``channels``,
            ``in_index``, ``input_transform`` and ``dropout_ratio``.

    Source: VFM-UDA++, Englert et al., 2025, as released.
    """

    def __init__(
        self, in_channels: int, norm_cfg: dict | None = None, **kwargs: Any
    ) -> None:
        super().__init__(
            in_channels=[in_channels] * 4,
            in_index=[0, 1, 2, 3],
            input_transform='multiple_select',
            channels=in_channels // 8,
            **kwargs,
        )
        norm_cfg = norm_cfg or dict(type='BN', momentum=0.01)
        for i in (1, 2, 3):
            wide = in_channels // 2 ** (i - 1)
            c = wide // 2
            layers = dict(
                up_conv=nn.ConvTranspose2d(wide, c, 2, stride=2),
                reduce_conv=nn.Conv2d(in_channels, c, 1),
                smooth_conv=nn.Conv2d(c, c, 3, padding=1),
                norm=build_norm_layer(norm_cfg, c)[1],
            )
            for name, layer in layers.items():
                self.add_module(f'{name}{i}', layer)
        self.smooth_conv4 = nn.Conv2d(c, c, 3, padding=1)

    def init_weights(self) -> None:
        """Initialise uniformly; deconvolutions by their output channels."""
        super().init_weights()
        for name, layer in self.named_children():
            if 'conv' in name and name != 'conv_seg':
                # A deconvolution's first dimension is its input channels.
                up = isinstance(layer, nn.ConvTranspose2d)
                nn.init.kaiming_uniform_(
                    layer.weight,
                    mode='fan_out' if up else 'fan_in',
                    nonlinearity='relu',
                )
                nn.init.zeros_(layer.bias)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute class scores (N, K, h, w) at the finest map's size.

        Args:
            inputs: Four maps (N, D, ., .), the finest first, each twice as
                large as the next.
        """
        *finer, x = self._transform_inputs(inputs)
        for i, level in enumerate(reversed(finer), start=1):
            x = self.get_submodule(f'up_conv{i}')(x)
            x = x + self.get_submodule(f'reduce_conv{i}')(level)
            x = self.get_submodule(f'smooth_conv{i}')(x)
            x = self.get_submodule(f'norm{i}')(x).relu()
        return self.cls_seg(self.smooth_conv4(x))

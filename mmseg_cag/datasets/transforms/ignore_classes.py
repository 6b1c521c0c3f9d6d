# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import DATASETS, TRANSFORMS

from mmseg_cag.errors import UserError

# legend: H W image


@TRANSFORMS.register_module()
class IgnoreClasses(BaseTransform):
    """Leave classes out of the labels: those of the target alone.

    They are ignored, not taught as anything else; the network keeps an
    output for them, so that data sets and checkpoints fit as before.

    Args:
        names: Names of the classes, such as ``target_only`` of a config.
        of: Name of the data set that says which classes there are.
        ignore_index: What their pixels become.

    Raises:
        UserError: A name is no class of the data set.
    """

    def __init__(
        self, names: Sequence[str], of: str, ignore_index: int = 255
    ) -> None:
        classes = list(DATASETS.get(of).METAINFO['classes'])
        for name in names:
            if name not in classes:
                raise UserError(
                    f'IgnoreClasses: {name!r} is no class of {of}, which has '
                    f'{", ".join(classes)}'
                )
        self.table = np.arange(256, dtype=np.uint8)
        self.table[[classes.index(name) for name in names]] = ignore_index

    def transform(self, results: dict) -> dict:
        """Change ``gt_seg_map`` (H, W) uint8 of the sample."""
        results['gt_seg_map'] = self.table[results['gt_seg_map']]
        return results

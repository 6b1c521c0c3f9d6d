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
    """Ignore classes in the labels, such as target-only ones.

    Their pixels are ignored; the network keeps an output for them, so that
    datasets and checkpoints still fit.

    Args:
        names: Names of the classes, such as ``target_only`` of a config.
        of: Dataset type that defines the classes.
        ignore_index: New id of their pixels.

    Raises:
        UserError: A name is not a class of the dataset.
    """

    def __init__(
        self, names: Sequence[str], of: str, ignore_index: int = 255
    ) -> None:
        classes = list(DATASETS.get(of).METAINFO['classes'])
        for name in names:
            if name not in classes:
                raise UserError(
                    f'IgnoreClasses: {name!r} is not a class of {of}, which '
                    f'has {", ".join(classes)}'
                )
        self.table = np.arange(256, dtype=np.uint8)
        self.table[[classes.index(name) for name in names]] = ignore_index

    def transform(self, results: dict) -> dict:
        """Change ``gt_seg_map`` (H, W) uint8 of the sample."""
        results['gt_seg_map'] = self.table[results['gt_seg_map']]
        return results

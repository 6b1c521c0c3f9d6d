# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from mmseg.registry import TRANSFORMS

from mmseg_cag.datasets.wanted import exceeds, wanted_class
from mmseg_cag.errors import UserError

from .random_resize_crop import is_varied


@TRANSFORMS.register_module()
class RedrawCrop(BaseTransform):
    """Redraw a crop until it shows the class the image was drawn for.

    Files are decoded once. Without a `RareClassOrder` the first crop is used.

    Args:
        transforms: Transforms that crop image and labels.
        min_share: Share of the crop that the class must exceed.
        attempts: Number of crops to check; the next one is used as it is.
        cat_max_ratio: Share of labelled pixels that no class of a crop may
            reach; 1 for no limit (VFM-UDA).

    Raises:
        UserError: The share is not in 0..1.

    Source: DAFormer and VFM-UDA as released (``rare_class_sampling``).
    """

    def __init__(
        self,
        transforms: Sequence[dict],
        min_share: float = 1500 / 512**2,
        attempts: int = 10,
        cat_max_ratio: float = 1.0,
    ) -> None:
        if not 0 <= min_share < 1:
            raise UserError(
                f'RedrawCrop: min_share={min_share}, expected a share of the '
                'crop, from 0 to 1'
            )
        self.transforms = Compose(transforms)
        self.min_share = min_share
        self.attempts = attempts
        self.cat_max_ratio = cat_max_ratio

    def transform(self, results: dict) -> dict:
        """Crop the sample.

        Args:
            results: The sample, decoded, with ``gt_seg_map``.
        """
        wanted = wanted_class()
        if wanted is None:
            return self.transforms(results)
        for _ in range(self.attempts + 1):
            # Transforms may modify their input.
            crop = self.transforms({k: _own(v) for k, v in results.items()})
            labels = crop['gt_seg_map']
            count = np.count_nonzero(labels == wanted)
            if not exceeds(count, self.min_share, labels.size):
                continue
            most = self.cat_max_ratio
            if most >= 1 or is_varied(labels, most):
                break
        return crop


def _own(value: Any) -> Any:
    return copy(value) if isinstance(value, list | np.ndarray) else value

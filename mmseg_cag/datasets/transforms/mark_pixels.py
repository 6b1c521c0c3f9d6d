# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.image import impad
from mmcv.transforms import BaseTransform, Pad
from mmengine.structures import PixelData
from mmseg.datasets import PackSegInputs
from mmseg.registry import TRANSFORMS

from mmseg_cag.errors import UserError

# legend: H W image


@TRANSFORMS.register_module()
class MarkUntrusted(BaseTransform):
    """Mark image margins, such as a car's bonnet, as untrusted.

    Adds ``trusted_map``, uint8 (H, W), which spatial transforms process, too;
    `PackMarkedSegInputs` packs it.

    Args:
        top: Rows at the top of the image at this point of the pipeline.
        bottom: Rows at the bottom.
        left: Columns at the left.
        right: Columns at the right.

    Raises:
        UserError: A margin is negative.

    Source: HRDA as released (``valid_pseudo_mask``).
    """

    def __init__(
        self, top: int = 0, bottom: int = 0, left: int = 0, right: int = 0
    ) -> None:
        self.margins = dict(top=top, bottom=bottom, left=left, right=right)
        for name, margin in self.margins.items():
            if margin < 0:
                raise UserError(
                    f'MarkUntrusted: {name}={margin}, expected 0 or more'
                )

    def transform(self, results: dict) -> dict:
        """Add ``trusted_map`` to the sample.

        Raises:
            UserError: The margins cover the whole image.
        """
        height, width = results['img'].shape[:2]
        top, bottom, left, right = self.margins.values()
        if top + bottom >= height or left + right >= width:
            given = ', '.join(f'{k}={v}' for k, v in self.margins.items())
            raise UserError(
                f'MarkUntrusted: {given}, expected margins within an image of '
                f'{width}x{height}'
            )
        trusted = np.zeros((height, width), np.uint8)
        trusted[top : height - bottom, left : width - right] = 1
        results['trusted_map'] = trusted
        results.setdefault('seg_fields', []).append('trusted_map')
        return results


@TRANSFORMS.register_module()
class PadMarked(Pad):
    """Pad an image and its marks; padding is untrusted.

    mmcv's `Pad` does not pad the marks.
    """

    def transform(self, results: dict) -> dict:
        """Pad the sample.

        Args:
            results: The sample, with ``img``.
        """
        results = super().transform(results)
        if 'trusted_map' in results:
            size = results['img'].shape[:2]
            marks = results['trusted_map']
            results['trusted_map'] = impad(marks, shape=size, pad_val=0)
        return results


@TRANSFORMS.register_module()
class FindThings(BaseTransform):
    """Record whether a crop shows a thing class for `FeatureDistance`.

    If no image of a batch does, the initial network is not run.

    Args:
        things: Class indices of the `FeatureDistance`.
    """

    def __init__(self, things: Sequence[int]) -> None:
        self.things = list(things)

    def transform(self, results: dict) -> dict:
        """Add ``has_things`` to the sample."""
        found = np.isin(results['gt_seg_map'], self.things).any()
        results['has_things'] = bool(found)
        return results


@TRANSFORMS.register_module()
class PackMarkedSegInputs(PackSegInputs):
    """Pack an image with the results of `MarkUntrusted` and `FindThings`."""

    def transform(self, results: dict) -> dict:
        """Pack the sample.

        Args:
            results: The sample, with ``img``.
        """
        packed = super().transform(results)
        sample = packed['data_samples']
        if 'trusted_map' in results:
            data = torch.from_numpy(results['trusted_map'].copy())[None]
            sample.trusted = PixelData(data=data)
        if 'has_things' in results:
            sample.set_metainfo(dict(has_things=results['has_things']))
        return packed

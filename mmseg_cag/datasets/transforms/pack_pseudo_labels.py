# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.structures import PixelData
from mmseg.datasets import PackSegInputs
from mmseg.registry import TRANSFORMS

from mmseg_cag.errors import UserError


@TRANSFORMS.register_module()
class PackPseudoSegInputs(PackSegInputs):
    """Pack an image, and its pseudo labels as ``pseudo_sem_seg``.

    A true label stays ``gt_sem_seg``, which `UDADataset` refuses of a target.
    """

    def transform(self, results: dict) -> dict:
        """Pack the sample.

        Args:
            results: The sample, with ``img`` and ``pseudo_seg_map``.

        Raises:
            UserError: It has no pseudo labels, or a transform has changed the
                image alone.
        """
        labels = results.get('pseudo_seg_map')
        if labels is None:
            raise UserError(
                'PackPseudoSegInputs: no LoadPseudoLabels before it'
            )
        if labels.shape != results['img'].shape[:2]:
            raise UserError(
                f'PackPseudoSegInputs: an image of {results["img"].shape[:2]} '
                f'has pseudo labels of {labels.shape}: a transform before it '
                'leaves results["seg_fields"] alone'
            )
        packed = super().transform(results)
        data = torch.from_numpy(labels.astype('int64'))[None]
        packed['data_samples'].pseudo_sem_seg = PixelData(data=data)
        return packed

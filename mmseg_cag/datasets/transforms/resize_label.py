# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmcv.transforms import Resize
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ResizeLabel(Resize):
    """Resize a label alone, by nearest neighbours; the image stays.

    CLAN scales an image at random but not its label, at whose size the
    losses are: there a ``Resize`` before the label is loaded serves the
    image, and this transform the label.

    Args:
        scale: Width and height of the label.
        keep_ratio: Whether to fit the label into ``scale``.
        backend: ``cv2`` or ``pillow``, which differ in what is nearest.
    """

    def transform(self, results: dict) -> dict:
        """Resize ``gt_seg_map``, (H, W) uint8."""
        results['scale'] = self.scale
        self._resize_seg(results)
        return results

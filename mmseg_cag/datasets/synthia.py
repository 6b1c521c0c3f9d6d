# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

from mmseg.datasets import BaseSegDataset, CityscapesDataset
from mmseg.registry import DATASETS


@DATASETS.register_module()
class SYNTHIADataset(BaseSegDataset):
    """SYNTHIA-RAND-CITYSCAPES (CVPR 2016) in the 19 classes of Cityscapes.

    Reads the published layout, ``RGB/0000000.png`` beside
    ``GT/LABELS/0000000.png``; the label files are 16-bit with SYNTHIA's ids
    in the red channel, so the pipeline loads them by
    ``LoadLabelIds(ids='synthia')``. Terrain, truck and train do not occur.
    """

    METAINFO = CityscapesDataset.METAINFO

    def __init__(
        self,
        img_suffix: str = '.png',
        seg_map_suffix: str = '.png',
        **kwargs: Any,
    ) -> None:
        super().__init__(
            img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs
        )

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

from mmseg.datasets import BaseSegDataset, CityscapesDataset
from mmseg.registry import DATASETS


@DATASETS.register_module()
class GTADataset(BaseSegDataset):
    """GTA5 (Playing for Data, ECCV 2016) in the 19 classes of Cityscapes.

    Reads the published layout, ``images/00001.png`` beside
    ``labels/00001.png``; the label files hold GTA ids, so the pipeline loads
    them by ``LoadLabelIds(ids='gta')``.
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

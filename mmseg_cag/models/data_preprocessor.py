# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor


@MODELS.register_module()
class UDADataPreprocessor(BaseDataPreprocessor):
    """Normalise, pad and stack the images of each domain by its own settings.

    A training batch is ``{'inputs': {'source': [...], 'target': [...]},
    'data_samples': {same}}``; each domain becomes (N, 3, H, W) float32. A
    plain batch, as in validation, is taken for the target's. Pseudo labels of
    a target sample, ``pseudo_sem_seg``, are padded as its image is.

    Args:
        source: Config of the source's preprocessor.
        target: Config of the target's preprocessor.
    """

    def __init__(self, source: dict, target: dict) -> None:
        super().__init__()
        self.source = MODELS.build(source)
        self.target = MODELS.build(target)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Preprocess a batch of one or both domains, or a plain one.

        Args:
            data: The collated batch.
            training: Whether padding and batch augmentation are those of
                training.
        """
        if not isinstance(data['inputs'], dict):
            return self.target(data, training)
        domains = {
            domain: getattr(self, domain)(
                {
                    'inputs': images,
                    'data_samples': data['data_samples'][domain],
                },
                training,
            )
            for domain, images in data['inputs'].items()
        }
        if 'target' in domains:
            self._pad_pseudo_labels(**domains['target'])
        return {
            key: {domain: batch[key] for domain, batch in domains.items()}
            for key in ('inputs', 'data_samples')
        }

    def _pad_pseudo_labels(
        self, inputs: Tensor, data_samples: list[SegDataSample]
    ) -> None:
        for sample in data_samples:
            if 'pseudo_sem_seg' not in sample:
                continue
            labels = sample.pseudo_sem_seg.data
            bottom, right = (
                inputs.size(axis) - labels.size(axis) for axis in (-2, -1)
            )
            padded = F.pad(
                labels, (0, right, 0, bottom), value=self.target.seg_pad_val
            )
            # mmengine refuses a map of another size on the same object.
            sample.pseudo_sem_seg = PixelData(data=padded)


def swaps_channels(preprocessor: SegDataPreProcessor) -> bool:
    """Tell whether a preprocessor turns BGR into RGB, or back.

    mmsegmentation 1.2.2 and its continuation keep it under different names.
    """
    names = ('_channel_conversion', 'channel_conversion')
    return any(getattr(preprocessor, name, False) for name in names)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.model import BaseDataPreprocessor
from mmseg.registry import MODELS


@MODELS.register_module()
class UDADataPreprocessor(BaseDataPreprocessor):
    """Normalise, pad and stack the images of each domain by its own settings.

    A training batch is ``{'inputs': {'source': [...], 'target': [...]},
    'data_samples': {same}}``; each domain becomes (N, 3, H, W) float32. A
    plain batch, as in validation, is taken for the target's.

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
        return {
            key: {domain: batch[key] for domain, batch in domains.items()}
            for key in ('inputs', 'data_samples')
        }

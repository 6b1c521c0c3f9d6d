# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from .adversarial import AdversarialSegmentor
from .base import SegOutput

# legend: N images, K classes, h w feature map


@MODELS.register_module()
class BDLSegmentor(AdversarialSegmentor):
    """The segmentation network of bidirectional learning (BDL, CVPR 2019).

    Its source images are translated to look like the target's; their labels
    are the original ones. With pseudo labels of the target in the data, it
    learns from these, too.

    .. code:: text

       supervised_loss()      CE on translated images
       pseudo_label_loss()    CE on pseudo labels, if there are any
       adversarial_losses()   both players, as in `AdversarialSegmentor`

    Source: BDL Sec. 3.2 and 3.3; BDL.py as released.
    """

    def pseudo_label_loss(
        self, target: SegOutput, data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """Compute the heads' own losses on pseudo labels.

        Args:
            target: Of the student on the target.
            data_samples: N samples; ``pseudo_sem_seg`` holds the labels of
                each, or of none. Where all are ignored the loss is 0.
        """
        if not all('pseudo_sem_seg' in sample for sample in data_samples):
            return {}
        labels = torch.cat([s.pseudo_sem_seg.data for s in data_samples])
        return self.supervised_loss(target, labels, 'target')

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
    """Segmentation network of bidirectional learning (BDL, CVPR 2019).

    Source images are translated to the target's style and keep their labels.
    If the data has pseudo labels of the target, it learns from these, too.

    .. code:: text

       learn_from_source()    CE on translated images
       pseudo_label_loss()    CE on pseudo labels, if there are any
       adversarial_losses()   both players, as in `AdversarialSegmentor`

    Source: BDL Sec. 3.2 and 3.3; BDL.py as released.
    """

    def pseudo_label_loss(
        self, target: SegOutput, data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """Compute the heads' own losses on pseudo labels.

        Args:
            target: The student's output on the target.
            data_samples: N samples; all or none have labels in
                ``pseudo_sem_seg``. If all pixels are ignored, the loss is 0.
        """
        if not all('pseudo_sem_seg' in sample for sample in data_samples):
            return {}
        labels = torch.cat([s.pseudo_sem_seg.data for s in data_samples])
        return self.supervised_loss(target, labels, 'target')

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from .adversarial import AdversarialSegmentor

# legend: N images, K classes, h w feature map


@MODELS.register_module()
class BDLSegmentor(AdversarialSegmentor):
    """The segmentation network of bidirectional learning (BDL, CVPR 2019).

    Its source images are translated to look like the target's; their labels
    are the original ones. With pseudo labels of the target in the data, it
    learns from these, too.

    .. code:: text

       source_loss()            CE on translated images
       labelled_target_loss()   CE on pseudo labels, if there are any
       adapt_loss()             both players, as in `AdversarialSegmentor`

    Source: BDL Sec. 3.2 and 3.3; BDL.py as released.
    """

    def labelled_target_loss(
        self, target: list[Tensor], data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """Compute the heads' own losses on pseudo labels.

        Args:
            target: Scores (N, K, h, w) of every head.
            data_samples: N samples; ``pseudo_sem_seg`` holds the labels of
                each, or of none. Where all are ignored the loss is 0.
        """
        if not all('pseudo_sem_seg' in sample for sample in data_samples):
            return {}
        labelled = [
            SegDataSample(gt_sem_seg=sample.pseudo_sem_seg)
            for sample in data_samples
        ]
        return self.heads_loss(target, labelled, 'target')

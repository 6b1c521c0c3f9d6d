# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .adversarial_loss import AdversarialLoss
from .anchor_alignment_loss import AnchorAlignmentLoss
from .anchor_distance_loss import AnchorDistanceLoss
from .feature_alignment import FeatureAlignment
from .feature_distance import FeatureDistance
from .softmax_focal_loss import SoftmaxFocalLoss
from .weight_discrepancy_loss import WeightDiscrepancyLoss

__all__ = [
    'AdversarialLoss',
    'AnchorAlignmentLoss',
    'AnchorDistanceLoss',
    'FeatureAlignment',
    'FeatureDistance',
    'SoftmaxFocalLoss',
    'WeightDiscrepancyLoss',
]

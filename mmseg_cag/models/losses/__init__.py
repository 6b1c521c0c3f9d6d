# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .adversarial_loss import AdversarialLoss
from .anchor_distance_loss import AnchorDistanceLoss

__all__ = ['AdversarialLoss', 'AnchorDistanceLoss']

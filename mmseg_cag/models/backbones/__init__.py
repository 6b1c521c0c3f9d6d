# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .ceil_resnet import CeilResNet
from .efficientnet_lite import EfficientNetLite
from .hrda_backbone import HRDABackbone

__all__ = ['CeilResNet', 'EfficientNetLite', 'HRDABackbone']

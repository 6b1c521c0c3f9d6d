# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .uda_iou_metric import UDAIoUMetric

__all__ = ['UDAIoUMetric']

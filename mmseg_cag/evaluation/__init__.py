# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .open_set_metric import OpenSetIoUMetric
from .uda_iou_metric import UDAIoUMetric

__all__ = ['OpenSetIoUMetric', 'UDAIoUMetric']

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .anchor_record_hook import AnchorRecordHook
from .monitor_hook import MonitorHook
from .optional_tensorboard import OptionalTensorboardVisBackend
from .panel_hook import PanelHook

__all__ = [
    'AnchorRecordHook',
    'MonitorHook',
    'OptionalTensorboardVisBackend',
    'PanelHook',
]

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .anchor_record_hook import AnchorRecordHook
from .discriminator_hook import DiscriminatorHook
from .monitor_hook import MonitorHook
from .panel_hook import PanelHook, TranslationPanelHook
from .vis_backends import BestEffortVisBackend, OptionalTensorboardVisBackend

__all__ = [
    'AnchorRecordHook',
    'DiscriminatorHook',
    'BestEffortVisBackend',
    'MonitorHook',
    'OptionalTensorboardVisBackend',
    'PanelHook',
    'TranslationPanelHook',
]

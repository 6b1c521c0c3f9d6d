# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What loading a training sample costs, step by step."""

from .frames import FrameSet, draw_frames
from .pipelines import make_pipelines
from .steps import time_pipelines
from .windows import compare_windows

__all__ = [
    'FrameSet',
    'compare_windows',
    'draw_frames',
    'make_pipelines',
    'time_pipelines',
]

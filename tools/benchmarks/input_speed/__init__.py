# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Measure the cost of loading a training sample, step by step."""

from input_speed.frames import FrameSet, draw_frames
from input_speed.pipelines import make_pipelines
from input_speed.steps import time_pipelines
from input_speed.windows import compare_windows

__all__ = [
    'FrameSet',
    'compare_windows',
    'draw_frames',
    'make_pipelines',
    'time_pipelines',
]

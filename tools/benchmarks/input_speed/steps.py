# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import time

import numpy as np
from mmcv.transforms import BaseTransform

from .frames import FrameSet

WARM_UP = 3


def time_pipelines(
    pipelines: dict[str, list[BaseTransform]], frames: FrameSet, draws: int
) -> dict[str, dict]:
    """Time pipelines in turn on the same frames and random numbers.

    Measures CPU time, so that other processes do not count; files come from
    the system's file cache.

    Args:
        pipelines: Steps by name.
        frames: Frames to load.
        draws: Timed samples of each.

    Returns:
        By name: milliseconds per sample (``median``, ``p10``, ``p90``) and the
        mean of each step (``steps``).
    """
    times: dict[str, list] = {name: [] for name in pipelines}
    # Load every file once, to fill the cache before timing.
    warm_up = max(WARM_UP, len(frames.images))
    for draw in range(-warm_up, draws):
        for name, steps in pipelines.items():
            np.random.seed(draw + warm_up)
            times[name].append(_time_steps(steps, frames.sample(draw)))
    return {
        name: _summarise(pipelines[name], np.array(values[warm_up:]))
        for name, values in times.items()
    }


def _time_steps(steps: list[BaseTransform], results: dict) -> list[float]:
    """Measure milliseconds of each step on one sample."""
    marks = [time.process_time()]
    for step in steps:
        results = step(results)
        marks.append(time.process_time())
    return list(1e3 * np.diff(marks))


def _summarise(steps: list[BaseTransform], times: np.ndarray) -> dict:
    """Summarise times (draws, steps)."""
    low, median, high = np.percentile(times.sum(1), [10, 50, 90])
    names = [type(step).__name__ for step in steps]
    return dict(
        median=median,
        p10=low,
        p90=high,
        steps=dict(zip(names, times.mean(0).tolist(), strict=True)),
    )

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

WARM_UP = 2
# A GPU waits before it is timed, so that the host runs ahead as in training:
# so many times as long as the host takes to launch the call, at most so many
# milliseconds.
HEAD_START, LONGEST = 1.5, 150.0
CYCLES = 2_000_000  # of a GPU in a millisecond, at most


def time_in_turn(
    functions: dict[str, Callable[[], object]], rounds: int, device: str
) -> dict[str, dict[str, float]]:
    """Time functions in turn, so that other load affects all equally.

    Args:
        functions: Functions to time, by name.
        rounds: Timed calls of each, after the warm-up.
        device: Their device: timed by the wall clock on a CPU, by CUDA events
            on a GPU.

    Returns:
        By name: milliseconds of a call, ``median``, ``p10``, ``p90``, and
        ``least``, the value least disturbed by other load; of a GPU also
        ``host``, in which an idle one was given a call.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    if torch.device(device).type != 'cuda':
        for _ in range(WARM_UP + rounds):
            for name, function in functions.items():
                times[name].append(_wall_clock(function))
        return {name: _sum_up(of[WARM_UP:]) for name, of in times.items()}
    host = {}
    for _ in range(WARM_UP):
        for name, function in functions.items():
            torch.cuda.synchronize()
            host[name] = _wall_clock(function)
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(_cuda_clock(function, host[name]))
    return {
        name: dict(_sum_up(values), host=host[name])
        for name, values in times.items()
    }


def _wall_clock(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)


def _cuda_clock(function: Callable[[], object], host: float) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    torch.cuda._sleep(int(CYCLES * min(HEAD_START * host, LONGEST)))
    start.record()
    function()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def _sum_up(times: list[float]) -> dict[str, float]:
    low, median, high = np.percentile(times, [10, 50, 90])
    return dict(median=median, p10=low, p90=high, least=min(times))

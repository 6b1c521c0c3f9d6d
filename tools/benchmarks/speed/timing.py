# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

WARM_UP = 2
# Steps that follow one another and are timed as one.
CALLS = 4
# A GPU waits before it is timed, so that the host is ahead and its launches
# cost no time: so many times as long as the host takes to launch the call, at
# most so many milliseconds.
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
            on a GPU, without the launches that its queue holds.

    Returns:
        By name: milliseconds of a call, ``median``, ``p10``, ``p90``, and
        ``least``, the value least disturbed by other load; of a GPU also
        ``host``, in which an idle one was given a call. A host whose queue of
        launches is full waits for the GPU: it then took less.
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


def time_steps_in_turn(
    functions: dict[str, Callable[[], object]], rounds: int, device: str
) -> dict[str, dict[str, float]]:
    """Time functions in turn, as training calls them.

    Args:
        functions: Functions to time, by name.
        rounds: Timed runs of each: calls on a CPU, `CALLS` consecutive ones
            on a GPU.
        device: Their device.

    Returns:
        As `time_in_turn`; of a GPU by the wall clock, so that a host that
        launches more slowly than the GPU computes shows, and as ``gpu`` what
        `time_in_turn` finds.
    """
    alone = time_in_turn(functions, rounds, device)
    if torch.device(device).type != 'cuda':
        return alone
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            torch.cuda.synchronize()
            run = _wall_clock(lambda function=function: _call(function))
            times[name].append(run / CALLS)
    return {
        name: dict(_sum_up(values), gpu=alone[name])
        for name, values in times.items()
    }


def _call(function: Callable[[], object]) -> None:
    for _ in range(CALLS):
        function()
    torch.cuda.synchronize()


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

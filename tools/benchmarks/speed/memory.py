# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def extra_memory(function: Callable[[], object], device: str) -> int:
    """Measure the extra peak memory of a call.

    Args:
        function: Function to call; its result counts too.
        device: Its device.

    Returns:
        Bytes that torch's allocator hands out beyond those before the call:
        by its own statistics on a GPU, by the profiler on a CPU.
    """
    function()
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(
        activities=[ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        kept = function()
    del kept
    events = profiler.profiler.kineto_results.events()
    changes = sorted(
        (event.start_ns(), event.nbytes())
        for event in events
        if event.name() == '[memory]'
    )
    peak = total = 0
    for _, change in changes:
        total += change
        peak = max(peak, total)
    return peak

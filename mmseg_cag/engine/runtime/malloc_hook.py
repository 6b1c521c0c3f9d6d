# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import ctypes

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.models.segmentors.base import bare_model

# Settings of glibc's allocator, by <malloc.h>, and the largest value, an int;
# where the second has a limit, it is 32 MB.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST, LIMIT = 2**31 - 1, 2**25


@HOOKS.register_module()
class MallocHook(Hook):
    """Let training on a CPU reuse the memory of tensors that are gone.

    The process keeps what it needed at its peak until it ends.
    """

    def before_train(self, runner: Runner) -> None:
        """Set the allocator, if the model is on the CPU."""
        if next(bare_model(runner).parameters()).device.type == 'cpu':
            keep_freed_memory()


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next tensors.

    It gives large pieces back to the system by default, which hands them out
    again page by page, cleared: several per cent of a step's time
    (docs/performance.md).

    Returns:
        Whether the C library has these settings; others are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError):  # no glibc, no such name
        return False
    return bool(
        mallopt(TRIM_THRESHOLD, LARGEST)
        and (
            mallopt(MMAP_THRESHOLD, LARGEST) or mallopt(MMAP_THRESHOLD, LIMIT)
        )
    )

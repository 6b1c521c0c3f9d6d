# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import ctypes

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.models.segmentors.base import bare_model

# Settings of glibc's allocator from <malloc.h> and their largest value, an
# int; where the second is limited, the limit is 32 MB.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST, LIMIT = 2**31 - 1, 2**25


@HOOKS.register_module()
class MallocHook(Hook):
    """Reuse freed tensor memory in CPU training.

    The process keeps its peak memory until it ends.
    """

    def before_train(self, runner: Runner) -> None:
        """Configure the allocator if the model is on the CPU."""
        if next(bare_model(runner).parameters()).device.type == 'cpu':
            keep_freed_memory()


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory for the next tensors.

    By default it returns large blocks to the system, which provides them again
    page by page, zeroed: several per cent of a step's time
    (docs/performance.md).

    Returns:
        Whether the C library supports these settings.
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

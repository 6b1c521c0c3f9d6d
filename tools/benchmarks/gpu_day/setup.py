# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB = 2**30
# A file of why the towns were not drawn.
NOT_DRAWN = 'towns.failed'
# What work is said to take at most, as a multiple of the last one's time.
SLACK = 1.2
NO_TIME = 'no time was left'


class NotHereError(Exception):
    """A requirement of a part is missing on this machine."""


@dataclass
class Setup:
    """Setup of a part.

    Attributes:
        device: ``cuda``, or ``cpu`` in a rehearsal.
        rehearse: Whether to shrink everything.
        ends: Deadline of the part, by `time.monotonic`.
        folder: Folder for files, shared by the parts.
        earlier: Results of earlier parts, by letter.
        save: Called with the results so far.
    """

    device: str
    rehearse: bool
    ends: float
    folder: Path
    earlier: dict[str, dict]
    save: Callable[[dict], None]

    @property
    def left(self) -> float:
        """Return the seconds left."""
        return self.ends - time.monotonic()

    def allows(self, seconds: float) -> bool:
        """Whether work like one that took so long can end in time."""
        return self.left > SLACK * seconds

    def choose(self, real: Any, small: Any) -> Any:
        """Choose the value for a GPU or for a rehearsal."""
        return small if self.rehearse else real


def require_gpu(gibibytes: float) -> None:
    """Check for a working GPU with enough free memory.

    Args:
        gibibytes: Minimum memory of a part.

    Raises:
        NotHereError: There is none, its driver does not match, or it is full.
    """
    import torch

    if torch.version.cuda is None:
        raise NotHereError(
            f'no GPU: torch {torch.__version__} is a build without CUDA'
        )
    try:
        found = torch.ones(2, device='cuda').add(1).sum().item()
        free, _ = torch.cuda.mem_get_info()
    except (RuntimeError, AssertionError) as error:
        raise NotHereError(f'no GPU: {first_line(error)}') from error
    if found != 4:
        raise NotHereError(f'the GPU computes 2 x (1 + 1) = {found}')
    if free < gibibytes * GIB:
        raise NotHereError(
            f'needs {gibibytes:g} GiB of GPU memory, {free / GIB:.1f} are free'
        )


def explain(error: BaseException) -> str:
    """Describe a failure in one line."""
    if isinstance(error, NotHereError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f'no module {error.name}: put its wheel into the folder WHEELS'
    if type(error).__name__ == 'OutOfMemoryError':
        return f'too little memory: {first_line(error)}'
    return f'{type(error).__name__}: {first_line(error)}'


def first_line(error: BaseException) -> str:
    """Shorten an error message to one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else '(no message)'

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB = 2**30


class NotHereError(Exception):
    """What a part needs and this machine has not; told in one line."""


@dataclass
class Setup:
    """What a part is given.

    Attributes:
        device: ``cuda``, or ``cpu`` in a rehearsal.
        rehearse: Whether all is shrunk.
        ends: By when the part has to be through, of `time.monotonic`.
        folder: For its files, shared by the parts.
        earlier: Results of the parts before it, by letter.
        save: To be called with the results so far.
    """

    device: str
    rehearse: bool
    ends: float
    folder: Path
    earlier: dict[str, dict]
    save: Callable[[dict], None]

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.ends - time.monotonic()

    def choose(self, real: Any, small: Any) -> Any:
        """Take what is for a GPU, or what is for a rehearsal."""
        return small if self.rehearse else real


def require_gpu(gibibytes: float) -> None:
    """See that there is a GPU that computes, with enough free memory.

    Args:
        gibibytes: What a part needs at least.

    Raises:
        NotHereError: There is none, its driver does not fit, or it is full.
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
    """Say in one line why something failed."""
    if isinstance(error, NotHereError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f'no module {error.name}: put its wheel into the folder WHEELS'
    if type(error).__name__ == 'OutOfMemoryError':
        return f'too little memory: {first_line(error)}'
    return f'{type(error).__name__}: {first_line(error)}'


def first_line(error: BaseException) -> str:
    """Shorten what an error says to a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else '(no message)'

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The class that a sample is drawn for, from the order to the crop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np

_WANTED: ContextVar[int | None] = ContextVar('wanted', default=None)


class Wanted(NamedTuple):
    """An image of a data set, and the class that it is drawn for."""

    index: int
    category: int


@contextmanager
def wanting(category: int | None) -> Iterator[None]:
    """Let transforms know the class that a sample is loaded for."""
    token = _WANTED.set(category)
    try:
        yield
    finally:
        _WANTED.reset(token)


def wanted_class() -> int | None:
    """The class that the sample at work is loaded for; None for no one."""
    return _WANTED.get()


def exceeds(count: np.ndarray, share: float, size: np.ndarray) -> np.ndarray:
    """Whether a count of pixels is more than a share of a size."""
    # A share that stands for a whole number of pixels is met exactly.
    return count > share * size + 1e-6

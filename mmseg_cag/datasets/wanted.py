# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Passes the class a sample is drawn for from sampling to cropping."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np

_WANTED: ContextVar[int | None] = ContextVar('wanted', default=None)


class Wanted(NamedTuple):
    """Index of an image and the class it is drawn for."""

    index: int
    category: int


@contextmanager
def wanting(category: int | None) -> Iterator[None]:
    """Expose the class a sample is loaded for to transforms."""
    token = _WANTED.set(category)
    try:
        yield
    finally:
        _WANTED.reset(token)


def wanted_class() -> int | None:
    """Return the class the current sample is loaded for, or None."""
    return _WANTED.get()


def exceeds(count: np.ndarray, share: float, size: np.ndarray) -> np.ndarray:
    """Whether a pixel count exceeds a share of a size."""
    # Exact for shares that correspond to a whole number of pixels.
    return count > share * size + 1e-6

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The readers, and the valid files that they are fuzzed with."""

from __future__ import annotations

from pathlib import Path

from . import (
    archives,
    caches,
    checkpoints,
    configs,
    images,
    labels,
    notes,
    runs,
)
from .reader import Reader

__all__ = ['Reader', 'all_readers']

FAMILIES = (
    images,
    labels,
    checkpoints,
    archives,
    caches,
    notes,
    runs,
    configs,
)


def all_readers(scratch: Path) -> list[Reader]:
    """Make every reader.

    Args:
        scratch: Where valid files may be written.
    """
    return [
        reader for family in FAMILIES for reader in family.readers(scratch)
    ]

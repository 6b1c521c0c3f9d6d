# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Reference values of the published implementations, where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[2] / 'shared' / 'golden'


def golden_file(name: str) -> Path:
    """Path of a reference file; skips the test where there is none."""
    path = GOLDEN / name
    if not path.exists():
        pytest.skip(f'reference values {name} are not beside this checkout')
    return path

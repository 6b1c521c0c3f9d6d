# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmseg_cag.minitown.town import draw_minitown


@pytest.fixture(scope='session')
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw a small minitown once."""
    root = tmp_path_factory.mktemp('drawn') / 'town'
    draw_minitown(
        root, size=(32, 64), source=4, target=4, val=3, synthia=3, workers=1
    )
    return root


@pytest.fixture
def town(drawn: Path, tmp_path: Path) -> Path:
    """Copy the minitown, so that faults can be planted."""
    return shutil.copytree(drawn, tmp_path / 'town')

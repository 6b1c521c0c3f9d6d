# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

import pytest

from tests.watched import write_network


@pytest.fixture
def network(tmp_path) -> Path:
    return write_network(tmp_path / 'student.onnx')

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a command alone needs lies beside it, in a folder of ``tools``."""

from __future__ import annotations

import sys
from pathlib import Path

TOOLS = Path(__file__).parents[1] / 'tools'
sys.path += [str(folder) for folder in (TOOLS, *sorted(TOOLS.iterdir()))]

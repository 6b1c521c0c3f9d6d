# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from . import TODAY, write

write(TODAY)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Measure every method from synthetic streets to real ones (CamVid).

    CAMVID_ROOT=... python tools/benchmarks/benchmark_real_streets.py

as `benchmark_minitown.py` does on minitown, into ``docs/real_streets.md``.
"""

from __future__ import annotations

from rows.command import main

if __name__ == '__main__':
    main(__doc__, ['real_streets'])

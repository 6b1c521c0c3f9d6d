# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Measure every method on minitown over several seeds.

    python tools/benchmarks/benchmark_minitown.py

trains source-only, all methods from its network, and the oracle (on target
labels). Each finished run of one seed is a row, a small JSON in
``docs/results``; existing rows are not measured again, and the tables in
``docs/minitown.md`` are made from them. ``--pairs minitown real_streets``
measures both pairs in one go.
"""

from __future__ import annotations

from rows.command import main

if __name__ == '__main__':
    main(__doc__, ['minitown'])

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Benchmark rows: one run of a method with one seed, measured once."""

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Rows of a benchmark: one run of a method by one seed, measured once."""

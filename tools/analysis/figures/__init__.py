# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Figures for a paper, from any finished run."""

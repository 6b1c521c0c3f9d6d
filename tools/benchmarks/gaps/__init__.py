# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Planted gaps in a town, and the findings of check_gap.py."""

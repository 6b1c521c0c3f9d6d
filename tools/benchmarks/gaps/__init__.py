# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Planted gaps between a town and itself, and how check_gap.py names them."""

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Minitown: procedural street scenes, this project's default data."""

from .town import draw_minitown

__all__ = ['draw_minitown']

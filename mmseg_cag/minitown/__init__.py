# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Minitown: procedural streets, the default data of this project."""

from .town import draw_minitown

__all__ = ['draw_minitown']

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The zlib module that PNGs are decoded with, the faster one if installed."""

from __future__ import annotations

try:
    from zlib_ng import zlib_ng as zlib
except ImportError:
    import zlib

__all__ = ['zlib']

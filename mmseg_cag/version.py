# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The version of this package."""

__version__ = '0.2.0'

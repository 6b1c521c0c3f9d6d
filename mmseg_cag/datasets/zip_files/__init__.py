# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Data sets read from zip files as published, without unpacking."""

from .open_file import open_file
from .zip_backend import ZipBackend

__all__ = ['ZipBackend', 'open_file']

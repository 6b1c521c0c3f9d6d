# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Label files of raw ids written once more as files of train ids."""

from .command import convert_command
from .label_set import Conversion, convert_labels

__all__ = ['Conversion', 'convert_command', 'convert_labels']

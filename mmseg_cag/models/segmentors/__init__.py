# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .cag import CAGSegmentor
from .uda import UDASegmentor

__all__ = ['CAGSegmentor', 'UDASegmentor']

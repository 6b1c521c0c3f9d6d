# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .adversarial import AdversarialSegmentor
from .bdl import BDLSegmentor
from .cag import CAGSegmentor
from .clan import CLANSegmentor
from .direct import DirectEncoderDecoder
from .uda import UDASegmentor

__all__ = [
    'AdversarialSegmentor',
    'BDLSegmentor',
    'CAGSegmentor',
    'CLANSegmentor',
    'DirectEncoderDecoder',
    'UDASegmentor',
]

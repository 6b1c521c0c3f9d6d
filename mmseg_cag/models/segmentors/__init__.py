# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .adversarial import AdversarialSegmentor
from .anchor_teacher import AnchorTeacherSegmentor
from .base import UDASegmentor
from .bdl import BDLSegmentor
from .cag import CAGSegmentor
from .clan import CLANSegmentor
from .dacs import DACSSegmentor
from .daformer import DAFormerSegmentor
from .distill import DistillSegmentor
from .encoder_decoder import SingleResizeEncoderDecoder
from .foreign_anchors import ForeignAnchorSegmentor
from .mic import MICSegmentor
from .proda import ProDASegmentor
from .source_free import SourceFreeCAGSegmentor
from .supervised import SupervisedSegmentor
from .vfm_uda import VFMUDASegmentor
from .vfm_uda_plus import VFMUDAPlusSegmentor

__all__ = [
    'AdversarialSegmentor',
    'AnchorTeacherSegmentor',
    'BDLSegmentor',
    'CAGSegmentor',
    'CLANSegmentor',
    'DACSSegmentor',
    'DAFormerSegmentor',
    'DistillSegmentor',
    'ForeignAnchorSegmentor',
    'MICSegmentor',
    'ProDASegmentor',
    'SingleResizeEncoderDecoder',
    'SupervisedSegmentor',
    'SourceFreeCAGSegmentor',
    'UDASegmentor',
    'VFMUDAPlusSegmentor',
    'VFMUDASegmentor',
]

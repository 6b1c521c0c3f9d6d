# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's translator of GTA5 into the style of Cityscapes.
_base_ = [
    '../_base_/models/cyclegan.py',
    '../_base_/datasets/translator_gta2cs.py',
    '../_base_/methods/translator.py',
]

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's network without pseudo labels, translated GTA5 -> Cityscapes.
_base_ = [
    '../_base_/models/dlv2_r101.py',
    '../_base_/methods/bdl_gta2cs.py',
]
model = _base_.bdl

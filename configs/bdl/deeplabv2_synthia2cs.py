# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's network without pseudo labels, translated SYNTHIA -> Cityscapes.
_base_ = [
    '../_base_/models/dlv2_r101.py',
    '../_base_/methods/bdl_synthia2cs.py',
]
model = _base_.bdl

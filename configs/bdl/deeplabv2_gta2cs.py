# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's network without pseudo labels, translated GTA5 -> Cityscapes.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/uda_gta2cs_1280x720.py',
    '../_base_/methods/bdl.py',
]
model = _base_.bdl
train_dataloader = _base_.translated

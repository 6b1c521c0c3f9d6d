# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's network without pseudo labels, translated SYNTHIA -> Cityscapes.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/uda_synthia2cs_1280x760.py',
    '../_base_/methods/bdl.py',
]
model = _base_.bdl
train_dataloader = _base_.translated

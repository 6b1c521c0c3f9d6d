# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Anchors inside a mean teacher on GTA5 -> Cityscapes, with DeepLab-V2 on
# ResNet-101.
_base_ = [
    '../_base_/models/deeplabv2-proda_r101.py',
    '../_base_/datasets/uda_gta2cs_512x512.py',
    '../_base_/methods/anchor_teacher.py',
]
model = dict(_base_.anchor_teacher, **_base_.bonnet)
train_dataloader = _base_.rare_classes

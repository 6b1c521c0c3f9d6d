# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Anchors inside a mean teacher on GTA5 -> Cityscapes, SegFormer on MiT-B2.
_base_ = [
    '../_base_/models/segformer_mit-b2.py',
    '../_base_/datasets/uda_gta2cs_512x512.py',
    '../_base_/methods/anchor_teacher.py',
]
model = _base_.anchor_teacher

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Anchors inside a mean teacher on Cityscapes -> Dark Zurich, on MiT-B5.
_base_ = [
    '../_base_/models/daformer_mit-b5.py',
    '../_base_/datasets/uda_cs2dz_512x512.py',
    '../_base_/methods/anchor_teacher.py',
]
model = _base_.anchor_teacher
train_dataloader = _base_.rare_classes

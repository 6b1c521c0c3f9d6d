# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Anchors in a mean teacher, with a few labels of the target.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/few_labels_minitown.py',
    '../_base_/methods/anchor_teacher_minitown.py',
]
start_from = '{{ fileDirname }}/../minitown/source_only.py'
model = _base_.anchor_teacher_small

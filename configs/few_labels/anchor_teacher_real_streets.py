# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Anchors in a mean teacher, with a few labels of the target.
_base_ = [
    '../_base_/models/segformer_effnet-lite0_11.py',
    '../_base_/datasets/few_labels_real_streets.py',
    '../_base_/methods/anchor_teacher_minitown.py',
]
start_from = '{{ fileDirname }}/../real_streets/source_only.py'
model = _base_.anchor_teacher_small

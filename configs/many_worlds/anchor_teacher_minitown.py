# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Anchors inside a mean teacher with two sources, from the network of both.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/uda_minitown_third.py',
    '../_base_/methods/anchor_teacher_minitown.py',
]
start_from = '{{ fileDirname }}/source_only_minitown.py'
model = _base_.anchor_teacher_small

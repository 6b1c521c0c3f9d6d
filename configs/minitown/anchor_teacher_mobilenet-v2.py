# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Anchors inside a mean teacher, on MobileNetV2.
_base_ = [
    '../_base_/models/fpn_mobilenet-v2.py',
    '../_base_/datasets/uda_minitown.py',
    '../_base_/methods/anchor_teacher_minitown.py',
]
start_from = '{{ fileDirname }}/source_only_mobilenet-v2.py'
model = _base_.anchor_teacher_small

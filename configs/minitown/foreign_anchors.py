# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Anchors in a mean teacher, and those of another encoder beside them.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/uda_minitown.py',
    '../_base_/methods/foreign_anchors_minitown.py',
]
start_from = '{{ fileDirname }}/source_only.py'
model = _base_.foreign_anchors_small

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# CAG with a few labels of the target.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/few_labels_minitown.py',
    '../_base_/methods/cag_minitown.py',
]
start_from = '{{ fileDirname }}/../minitown/source_only.py'
model = _base_.cag_small

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DACS without a source: a few labels of the target, and its other images.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/few_labels_minitown.py',
    '../_base_/methods/dacs_minitown.py',
]
start_from = '{{ fileDirname }}/labels_alone_minitown.py'
model = _base_.dacs
train_dataloader = _base_.no_source

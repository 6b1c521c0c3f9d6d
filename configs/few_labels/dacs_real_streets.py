# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DACS with a few labels of the target.
_base_ = [
    '../_base_/models/segformer_effnet-lite0_11.py',
    '../_base_/datasets/few_labels_real_streets.py',
    '../_base_/methods/dacs_minitown.py',
]
start_from = '{{ fileDirname }}/../real_streets/source_only.py'
model = _base_.dacs

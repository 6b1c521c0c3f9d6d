# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's translator of SYNTHIA into the style of Cityscapes.
_base_ = [
    '../_base_/models/cyclegan.py',
    '../_base_/datasets/translator_synthia2cs.py',
    '../_base_/methods/translator.py',
]
# 20 epochs of 9,400 images, four at a time.
max_iters = 47000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(_base_.param_scheduler[0], begin=max_iters // 2, end=max_iters)
]

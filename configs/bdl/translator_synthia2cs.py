# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's translator of SYNTHIA into the style of Cityscapes.
_base_ = [
    '../_base_/models/cyclegan.py',
    '../_base_/schedules/translator.py',
    '../_base_/methods/translator_synthia2cs.py',
]
# 20 epochs of 9,400 images, four at a time.
max_iters = 47000
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1.0,
        end_factor=0.0,
        begin=max_iters // 2,
        end=max_iters,
        by_epoch=False,
    )
]
train_cfg = dict(max_iters=max_iters)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's translator, SYNTHIA -> Cityscapes.
_base_ = [
    '../_base_/datasets/synthia2cs.py',
    '../_base_/datasets/translator_pipelines.py',
    '../_base_/models/cyclegan.py',
    '../_base_/schedules/translator.py',
    '../_base_/methods/translator.py',
]
source_images = dict(_base_.source, data_prefix=dict(img_path='RGB'))
train_dataloader = dict(
    dataset=dict(
        source=dict(source_images, pipeline=_base_.translator_crops),
        target=dict(_base_.target_train, pipeline=_base_.translator_crops),
    )
)
translate_dataloader = dict(
    dataset=dict(source_images, pipeline=_base_.translator_frames)
)
# 20 passes over 9,400 images, as of GTA5's 24,966.
max_iters = 47000
param_scheduler = [
    dict(_base_.param_scheduler[0], begin=max_iters // 2, end=max_iters)
]
train_cfg = dict(max_iters=max_iters)
# There is nothing to validate by.
val_dataloader = val_evaluator = None
test_dataloader = test_evaluator = None

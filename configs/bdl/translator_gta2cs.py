# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's translator, GTA5 -> Cityscapes.
_base_ = [
    '../_base_/datasets/gta2cs.py',
    '../_base_/datasets/translator_pipelines.py',
    '../_base_/models/cyclegan.py',
    '../_base_/schedules/translator.py',
    '../_base_/methods/translator.py',
]
source_images = dict(_base_.source, data_prefix=dict(img_path='images'))
train_dataloader = dict(
    dataset=dict(
        source=dict(source_images, pipeline=_base_.translator_crops),
        target=dict(_base_.target_train, pipeline=_base_.translator_crops),
    )
)
translate_dataloader = dict(
    dataset=dict(source_images, pipeline=_base_.translator_frames)
)
# There is nothing to validate by.
val_dataloader = val_evaluator = None
test_dataloader = test_evaluator = None

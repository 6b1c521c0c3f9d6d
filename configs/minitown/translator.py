# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# A small CycleGAN between the towns.
_base_ = [
    '../_base_/datasets/minitown.py',
    '../_base_/models/cyclegan.py',
    '../_base_/schedules/translator_minitown.py',
    '../_base_/methods/translator.py',
]
model = dict(
    generator=dict(channels=16, num_blocks=3, residual=True),
    discriminator=dict(channels=16, num_layers=2),
)
source_images = dict(_base_.source_plain, data_prefix=dict(img_path='images'))
crops = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=(64, 128)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(
        source=dict(source_images, pipeline=crops),
        target=dict(_base_.target_train, pipeline=crops),
    ),
)
translate_dataloader = dict(
    batch_size=10,
    num_workers=1,
    dataset=dict(
        source_images,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='PackSegInputs'),
        ],
    ),
)
default_hooks = dict(checkpoint=dict(interval=_base_.max_iters))
# There is nothing to validate by.
val_dataloader = val_evaluator = None
test_dataloader = test_evaluator = None

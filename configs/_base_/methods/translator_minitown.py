# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# An image translator on minitown.
_base_ = ['../datasets/minitown.py', './translator.py']
translator_train = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=(96, 96)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
images = dict(
    _base_.source_train,
    data_prefix=dict(img_path='images'),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='PackSegInputs'),
    ],
)
auto_scale_lr = dict(enable=False, base_batch_size=2)
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(
        source=dict(images, pipeline=translator_train),
        target=dict(_base_.target_train, pipeline=translator_train),
    ),
)
translate_dataloader = dict(batch_size=4, num_workers=1, dataset=images)
# There is no truth to compare with.
val_dataloader = val_evaluator = None
test_dataloader = test_evaluator = None

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# SYNTHIA -> Cityscapes as HRDA has them.
_base_ = './uda_synthia2cs_896x512.py'
crop = dict(type='RandomCrop', crop_size=(1024, 1024))
source = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='synthia'),
        dict(type='Resize', scale=(2560, 1520), keep_ratio=True),
        dict(**crop, cat_max_ratio=0.75),
        _base_.flip,
        dict(type='PackSegInputs'),
    ]
)
target_dataset = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        crop,
        _base_.flip,
        dict(type='PackSegInputs'),
    ]
)
auto_scale_lr = dict(base_batch_size=2)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    dataset=dict(domains=dict(source=source, target=target_dataset)),
)
source_dataloader = dict(batch_size=2, num_workers=4, dataset=source)

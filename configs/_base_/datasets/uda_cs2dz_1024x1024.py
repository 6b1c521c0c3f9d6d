# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Cityscapes -> Dark Zurich as HRDA has them: all at full size, crops of
# 1024 x 1024.
_base_ = './uda_cs2dz.py'
crop = dict(type='RandomCrop', crop_size=(1024, 1024))
source = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='cityscapes'),
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

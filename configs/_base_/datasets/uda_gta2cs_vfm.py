# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# GTA5 -> Cityscapes as VFM-UDA has them: short sides of 1440 and 1024 pixels
# times U(0.9, 1.1), crops of 1024 x 1024.
_base_ = './uda_gta2cs_896x512.py'
crop = dict(type='RandomCrop', crop_size=(1024, 1024))
resize = dict(type='RandomResize', ratio_range=(0.9, 1.1), keep_ratio=True)
source = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='gta'),
        dict(**resize, scale=(10000, 1440)),  # the shorter side binds
        dict(**crop, cat_max_ratio=0.75),
        _base_.flip,
        dict(type='PackSegInputs'),
    ]
)
target_dataset = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(**resize, scale=(10000, 1024)),
        crop,
        _base_.flip,
        dict(type='PackSegInputs'),
    ]
)
# As released: one process of eight, or four of two each.
auto_scale_lr = dict(base_batch_size=8)
train_dataloader = dict(
    batch_size=8,
    dataset=dict(domains=dict(source=source, target=target_dataset)),
)
source_dataloader = dict(batch_size=8, dataset=source)
anchor_dataloader = dict(batch_size=1)

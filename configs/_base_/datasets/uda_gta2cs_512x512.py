# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# GTA5 -> Cityscapes as DAFormer has them: images at half the size of the
# target's, crops of 512 x 512.
_base_ = './uda_gta2cs_896x512.py'
target_size = dict(type='Resize', scale=(1024, 512), keep_ratio=True)
source = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='gta'),
        dict(type='Resize', scale=(1280, 720), keep_ratio=True),
        dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
        _base_.flip,
        dict(type='PackSegInputs'),
    ]
)
target_dataset = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        target_size,
        dict(type='RandomCrop', crop_size=(512, 512)),
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
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            target_size,
            # After the resize: predictions are compared at its own size.
            dict(type='LoadLabelIds', ids='cityscapes'),
            dict(type='PackSegInputs'),
        ]
    )
)
test_dataloader = val_dataloader
test_pipeline = [
    dict(type='LoadImageFromFile'),
    target_size,
    dict(type='PackSegInputs'),
]

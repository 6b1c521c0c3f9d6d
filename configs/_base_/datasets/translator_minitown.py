# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# The towns as a translator has them: no step opens a label.
data_root = '{{$MINITOWN_ROOT:data/minitown}}/'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomCrop', crop_size=(96, 96)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
source = dict(
    type='GTADataset',
    data_root=data_root + 'gta',
    data_prefix=dict(img_path='images'),
)
# The batch that the learning rates are for.
auto_scale_lr = dict(enable=False, base_batch_size=2)
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='UDASampler'),
    dataset=dict(
        type='UDADataset',
        domains=dict(
            source=dict(**source, pipeline=train_pipeline),
            target=dict(
                type='CityscapesDataset',
                data_root=data_root + 'cityscapes',
                data_prefix=dict(img_path='leftImg8bit/train'),
                pipeline=train_pipeline,
            ),
        ),
    ),
)
# What tools/translate.py translates, at the size that it then has.
translate_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(
        **source,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='PackSegInputs'),
        ],
    ),
)

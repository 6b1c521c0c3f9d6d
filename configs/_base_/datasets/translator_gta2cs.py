# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# GTA5 -> Cityscapes as BDL's translator has them: 1024 pixels wide, crops of
# 452 x 452. No step opens a label, of neither domain, and there is no ground
# truth to compare with.
resize = dict(
    type='Resize',
    scale=(1024, 1024),  # the longer side binds: the width
    keep_ratio=True,
    interpolation='bicubic',
    backend='pillow',
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    resize,
    dict(type='RandomCrop', crop_size=(452, 452)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
source = dict(
    type='GTADataset',
    data_root='{{$GTA_ROOT:data/gta}}',
    data_prefix=dict(img_path='images'),
)
# The batch that the learning rates are for.
auto_scale_lr = dict(enable=False, base_batch_size=4)
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='UDASampler'),
    dataset=dict(
        type='UDADataset',
        domains=dict(
            source=dict(**source, pipeline=train_pipeline),
            target=dict(
                type='CityscapesDataset',
                data_root='{{$CITYSCAPES_ROOT:data/cityscapes}}',
                data_prefix=dict(img_path='leftImg8bit/train'),
                pipeline=train_pipeline,
            ),
        ),
    ),
)
# What tools/translate.py translates, at the size that it then has.
translate_dataloader = dict(
    batch_size=1,
    num_workers=4,
    dataset=dict(
        **source,
        pipeline=[
            dict(type='LoadImageFromFile'),
            resize,
            dict(type='PackSegInputs'),
        ],
    ),
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# GTA5 and SYNTHIA -> Cityscapes as DAFormer has each of them.
_base_ = './uda_gta2cs_512x512.py'
synthia = dict(
    type='SYNTHIADataset',
    data_root='{{$SYNTHIA_ROOT:data/synthia}}',
    data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
)
load_synthia = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadLabelIds', ids='synthia'),
    dict(type='Resize', scale=(1280, 760), keep_ratio=True),
]
gta = dict(
    type='GTADataset',
    data_root='{{$GTA_ROOT:data/gta}}',
    data_prefix=dict(img_path='images', seg_map_path='labels'),
)
# Rare class sampling in each source; SYNTHIA labels no terrain, truck, train.
sources = dict(
    type='DomainPool',
    members=dict(
        gta=dict(
            **gta,
            pipeline=[*_base_.load_resized, *_base_.cropped_for_class],
        ),
        synthia=dict(
            **synthia, pipeline=[*load_synthia, *_base_.cropped_for_class]
        ),
    ),
    shares=dict(gta=0.5, synthia=0.5),
    absent=dict(synthia=['terrain', 'truck', 'train']),
)
# An image is drawn for classes with more than 3000 of its pixels.
orders = dict(
    gta=dict(type='RareClassOrder'),
    synthia=dict(type='RareClassOrder', min_share=3000 / (1280 * 760)),
)
train_dataloader = dict(
    sampler=dict(orders=dict(source=dict(type='PoolOrder', orders=orders))),
    dataset=dict(domains=dict(source=dict(_delete_=True, **sources))),
)

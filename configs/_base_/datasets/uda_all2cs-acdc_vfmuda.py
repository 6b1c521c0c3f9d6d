# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# GTA5 and SYNTHIA -> Cityscapes and ACDC as VFM-UDA has each of them, with a
# mIoU of each target.
_base_ = './uda_gta2cs_vfmuda.py'
acdc = dict(type='ACDCDataset', data_root='{{$ACDC_ROOT:data/acdc}}')
synthia = dict(
    type='SYNTHIADataset',
    data_root='{{$SYNTHIA_ROOT:data/synthia}}',
    data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='synthia'),
        dict(**_base_.vfm_resize, scale=(10000, 1024)),
        *_base_.vfm_labelled,
    ],
)
# SYNTHIA labels no terrain, truck, train.
sources = dict(
    type='DomainPool',
    members=dict(gta=_base_.source, synthia=synthia),
    shares=dict(gta=0.5, synthia=0.5),
    absent=dict(synthia=['terrain', 'truck', 'train']),
)
targets = dict(
    type='DomainPool',
    members=dict(
        cityscapes=_base_.target_dataset,
        acdc=dict(
            **acdc,
            split='train',
            data_prefix=dict(img_path='rgb_anon'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(
                    type='MarkUntrusted',
                    top=32,
                    bottom=270,
                    left=57,
                    right=57,
                ),
                *_base_.vfm_unlabelled,
            ],
        ),
    ),
    shares=dict(cityscapes=0.5, acdc=0.5),
)
rare = dict(type='RareClassOrder', temperature=0.05)
train_dataloader = dict(
    sampler=dict(
        orders=dict(
            source=dict(
                _delete_=True,
                type='PoolOrder',
                orders=dict(
                    gta=rare,
                    synthia=dict(**rare, min_share=3000 / (1280 * 760)),
                ),
            )
        )
    ),
    dataset=dict(
        domains=dict(
            source=dict(_delete_=True, **sources),
            target=dict(_delete_=True, **targets),
        )
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='DomainPool',
        members=dict(
            cityscapes=_base_.val_dataloader.dataset,
            acdc=dict(
                **acdc,
                split='val',
                data_prefix=dict(img_path='rgb_anon', seg_map_path='gt'),
                test_mode=True,
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    # ACDC's images are higher; labels keep their size.
                    dict(
                        type='Resize',
                        scale=(10000, 1024),
                        keep_ratio=True,
                        backend='pillow',
                    ),
                    dict(type='LoadLabelIds', ids='cityscapes'),
                    dict(type='PackSegInputs'),
                ],
            ),
        ),
    )
)
test_dataloader = val_dataloader

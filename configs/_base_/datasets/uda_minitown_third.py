# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Two sources, the game's town and the third; the target as in uda_minitown.py.
_base_ = './uda_minitown.py'
third = dict(
    type='SYNTHIADataset',
    data_root=_base_.data_root + 'synthia',
    data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
)
load_third = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadLabelIds', ids='synthia'),
]
sources = dict(
    type='DomainPool',
    members=dict(
        gta=_base_.source,
        third=dict(
            **third,
            pipeline=[
                *load_third,
                *_base_.augmentation,
                dict(type='PackSegInputs'),
            ],
        ),
    ),
    shares=dict(gta=0.5, third=0.5),
)
train_dataloader = dict(
    dataset=dict(domains=dict(source=dict(_delete_=True, **sources)))
)
source_dataloader = dict(
    _delete_=True,
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='UDASampler'),
    dataset=dict(type='UDADataset', domains=dict(source=sources)),
)
anchor_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='DomainPool',
        members=dict(
            gta=_base_.source_no_aug,
            third=dict(
                **third, pipeline=[*load_third, dict(type='PackSegInputs')]
            ),
        ),
    )
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# GTA5 and SYNTHIA -> Cityscapes, each augmented as in CAG's release. SYNTHIA
# labels no terrain, truck and train: there these are no answer.
_base_ = './uda_gta2cs_896x512.py'
synthia = dict(
    type='SYNTHIADataset',
    data_root='{{$SYNTHIA_ROOT:data/synthia}}',
    data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
)
absent = dict(synthia=['terrain', 'truck', 'train'])
sources = dict(
    type='DomainPool',
    members=dict(
        gta=_base_.source,
        synthia=dict(
            **synthia,
            pipeline=[
                dict(type='LoadImageOnDemand', cache_dir=_base_.cache_dir),
                dict(
                    type='LoadLabelIds',
                    ids='synthia',
                    cache_dir=_base_.cache_dir,
                ),
                _base_.resize_crop,
                _base_.flip,
                dict(type='PackSegInputs'),
            ],
        ),
    ),
    shares=dict(gta=0.75, synthia=0.25),
    absent=absent,
)
train_dataloader = dict(
    dataset=dict(domains=dict(source=dict(_delete_=True, **sources)))
)
source_dataloader = dict(
    sampler=dict(_delete_=True, type='UDASampler'),
    dataset=dict(
        _delete_=True, type='UDADataset', domains=dict(source=sources)
    ),
)
anchor_dataloader = dict(
    batch_size=1,  # their images differ in size
    dataset=dict(
        _delete_=True,
        type='DomainPool',
        members=dict(
            gta=_base_.source_no_aug,
            synthia=dict(
                **synthia,
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='LoadLabelIds', ids='synthia'),
                    dict(type='PackSegInputs'),
                ],
            ),
        ),
        absent=absent,
    ),
)

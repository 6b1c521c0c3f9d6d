# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# GTA5 and SYNTHIA -> Cityscapes and ACDC, with a mIoU of each target.
_base_ = './uda_gta-synthia2cs_512x512.py'
acdc = dict(type='ACDCDataset', data_root='{{$ACDC_ROOT:data/acdc}}')
resize_acdc = dict(type='Resize', scale=(960, 540), keep_ratio=True)
targets = dict(
    type='DomainPool',
    members=dict(
        cityscapes=dict(
            _base_.train_dataloader.dataset.domains.target,
            pipeline=[
                dict(type='LoadImageFromFile'),
                _base_.half_size,
                # The bonnet of Cityscapes' car, and what rectification has
                # left at the top. ACDC has neither.
                dict(type='MarkUntrusted', top=15, bottom=120),
                _base_.crop_512,
                _base_.flip_512,
                dict(type='PackMarkedSegInputs'),
            ],
        ),
        acdc=dict(
            **acdc,
            split='train',
            data_prefix=dict(img_path='rgb_anon'),
            pipeline=[
                dict(type='LoadImageFromFile'),
                resize_acdc,
                _base_.crop_512,
                _base_.flip_512,
                dict(type='PackSegInputs'),
            ],
        ),
    ),
    shares=dict(cityscapes=0.5, acdc=0.5),
)
train_dataloader = dict(
    dataset=dict(domains=dict(target=dict(_delete_=True, **targets)))
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
                    resize_acdc,
                    # Predictions are compared at the label's own size.
                    dict(type='LoadLabelIds', ids='cityscapes'),
                    dict(type='PackSegInputs'),
                ],
            ),
        ),
    )
)
test_dataloader = val_dataloader

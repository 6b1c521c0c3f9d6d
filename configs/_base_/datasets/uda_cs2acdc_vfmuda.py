# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Cityscapes -> ACDC as VFM-UDA has them.
_base_ = ['./uda_cs2acdc.py', './vfmuda_pipelines.py']
source = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='cityscapes'),
        dict(**_base_.vfm_resize, scale=(10000, 1024)),
        *_base_.vfm_labelled,
    ]
)
target_dataset = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='MarkUntrusted', top=32, bottom=270, left=57, right=57),
        *_base_.vfm_unlabelled,
    ]
)
rare = dict(
    type='RareClassOrder', temperature=0.05, min_share=3000 / (2048 * 1024)
)
auto_scale_lr = dict(base_batch_size=_base_.vfm_batch)
train_dataloader = dict(
    batch_size=_base_.vfm_batch,
    sampler=dict(orders=dict(source=rare)),
    dataset=dict(domains=dict(source=source, target=target_dataset)),
)
source_dataloader = dict(batch_size=_base_.vfm_batch, dataset=source)
# ACDC's images are higher; labels keep their size.
shorter = dict(
    type='Resize', scale=(10000, 1024), keep_ratio=True, backend='pillow'
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            shorter,
            dict(type='LoadLabelIds', ids='cityscapes'),
            dict(type='PackSegInputs'),
        ]
    )
)
test_dataloader = val_dataloader
test_pipeline = [
    dict(type='LoadImageFromFile'),
    shorter,
    dict(type='PackSegInputs'),
]

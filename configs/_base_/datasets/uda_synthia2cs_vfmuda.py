# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# SYNTHIA -> Cityscapes as VFM-UDA has them.
_base_ = ['./uda_synthia2cs_896x512.py', './vfmuda_pipelines.py']
source = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='synthia'),
        dict(**_base_.vfm_resize, scale=(10000, 1024)),
        *_base_.vfm_labelled,
    ]
)
target_dataset = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='MarkUntrusted', top=30, bottom=256, left=61, right=61),
        *_base_.vfm_unlabelled,
    ]
)
rare = dict(
    type='RareClassOrder', temperature=0.05, min_share=3000 / (1280 * 760)
)
auto_scale_lr = dict(base_batch_size=_base_.vfm_batch)
train_dataloader = dict(
    batch_size=_base_.vfm_batch,
    sampler=dict(orders=dict(source=rare)),
    dataset=dict(domains=dict(source=source, target=target_dataset)),
)
source_dataloader = dict(batch_size=_base_.vfm_batch, dataset=source)

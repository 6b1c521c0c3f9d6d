# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# GTA5 -> Cityscapes as VFM-UDA has them: rare classes, and margins of 3 % and
# a bonnet of 25 % whose labels do not count.
_base_ = ['./uda_gta2cs_896x512.py', './vfmuda_pipelines.py']
source = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='gta'),
        dict(**_base_.vfm_resize, scale=(10000, 1440)),
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
auto_scale_lr = dict(base_batch_size=_base_.vfm_batch)
train_dataloader = dict(
    batch_size=_base_.vfm_batch,
    sampler=dict(
        orders=dict(source=dict(type='RareClassOrder', temperature=0.05))
    ),
    dataset=dict(domains=dict(source=source, target=target_dataset)),
)
source_dataloader = dict(batch_size=_base_.vfm_batch, dataset=source)

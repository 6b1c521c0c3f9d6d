# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Cityscapes -> ACDC as HRDA has them.
_base_ = ['./uda_cs2acdc.py', './full_size_pipelines.py']
load = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadLabelIds', ids='cityscapes'),
]
source = dict(pipeline=[*load, *_base_.cropped])
target_dataset = dict(pipeline=_base_.full_size_target)
auto_scale_lr = dict(base_batch_size=2)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    dataset=dict(domains=dict(source=source, target=target_dataset)),
)
source_dataloader = dict(batch_size=2, num_workers=4, dataset=source)
# Rare class sampling: `train_dataloader = _base_.rare_classes`. An image is
# drawn for classes with more than 3000 of its pixels.
rare = dict(type='RareClassOrder', min_share=3000 / (2048 * 1024))
rare_classes = dict(
    sampler=dict(orders=dict(source=rare)),
    dataset=dict(
        domains=dict(
            source=dict(pipeline=[*load, *_base_.cropped_for_class]),
        ),
    ),
)

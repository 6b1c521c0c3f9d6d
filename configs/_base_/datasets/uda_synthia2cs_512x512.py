# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# SYNTHIA -> Cityscapes as DAFormer has them.
_base_ = ['./uda_synthia2cs_896x512.py', './half_size_pipelines.py']
load_resized = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadLabelIds', ids='synthia'),
    dict(type='Resize', scale=(1280, 760), keep_ratio=True),
]
source = dict(pipeline=[*load_resized, *_base_.cropped])
target_dataset = dict(pipeline=_base_.half_size_target)
auto_scale_lr = dict(base_batch_size=2)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    dataset=dict(domains=dict(source=source, target=target_dataset)),
)
source_dataloader = dict(batch_size=2, num_workers=4, dataset=source)
val_dataloader = dict(dataset=dict(pipeline=_base_.half_size_val))
test_dataloader = val_dataloader
test_pipeline = _base_.half_size_test
# Rare class sampling: `train_dataloader = _base_.rare_classes`. An image is
# drawn for classes with more than 3000 of its pixels.
rare = dict(type='RareClassOrder', min_share=3000 / (1280 * 760))
rare_classes = dict(
    sampler=dict(orders=dict(source=rare)),
    dataset=dict(
        domains=dict(
            source=dict(pipeline=[*load_resized, *_base_.cropped_for_class]),
        ),
    ),
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# minitown whose source does not label some classes of the target.
_base_ = './uda_minitown.py'
target_only = ['bus', 'train', 'motorcycle']
source_only = []
load_source = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadLabelIds', ids='gta'),
    dict(type='IgnoreClasses', names=target_only, of='GTADataset'),
]
augmented = [*load_source, *_base_.augmentation, dict(type='PackSegInputs')]
train_dataloader = dict(
    dataset=dict(domains=dict(source=dict(pipeline=augmented)))
)
source_dataloader = dict(dataset=dict(pipeline=augmented))
anchor_dataloader = dict(
    dataset=dict(pipeline=[*load_source, dict(type='PackSegInputs')])
)
# For a network that says what is unknown to it.
open_set_evaluator = dict(
    type='OpenSetIoUMetric', target_only=target_only, source_only=source_only
)

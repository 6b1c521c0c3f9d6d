# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# What image translators share; beside a schedule.
_base_ = '../default_runtime.py'
default_hooks = dict(
    checkpoint=dict(interval=5000),
    visualization=dict(_delete_=True, type='TranslationPanelHook'),
)
custom_hooks = [*_base_.custom_hooks, dict(type='DiscriminatorHook')]
auto_scale_lr = dict(enable=False, base_batch_size=4)
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='UDASampler'),
    dataset=dict(type='UDADataset'),
)
# What tools/translate.py translates, at the size that it then has.
translate_dataloader = dict(batch_size=1, num_workers=4)

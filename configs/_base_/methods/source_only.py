# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Training on labelled source images alone, as CAG's warm-up: the stages'
# optimizer at a higher rate. A config says
# `train_dataloader = dict(_delete_=True, **_base_.source_dataloader)`.
_base_ = '../default_runtime.py'
auto_scale_lr = dict(enable=False, base_batch_size=4)
max_iters = 90000
train_cfg = dict(
    type='UDATrainLoop',
    max_iters=max_iters,
    val_interval=max_iters // 18,
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=2.5e-4, momentum=0.9, weight_decay=2e-4),
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]

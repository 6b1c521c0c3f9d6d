# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# ProDA's denoising stage on minitown, as long as CAG's three stages:
# `model = _base_.proda_small`.
_base_ = './proda.py'
train_cfg = dict(stage_iters=450, vals_per_stage=3, saves_per_stage=3)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='AdamW', lr=3e-4, weight_decay=0.01, fused=True
    )
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
default_hooks = dict(
    # Steps are slow where there is no GPU: a line every few seconds.
    logger=dict(interval=10),
    monitor=dict(interval=10),
    panels=dict(interval=50),
    # The soft labels are of a network in evaluation mode.
    norm_statistics=dict(type='NormStatisticsHook', interval=150),
)

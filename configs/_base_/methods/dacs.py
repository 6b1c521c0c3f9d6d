# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DACS as DAFormer's code has it: AdamW, heads ten times as fast, 40,000
# iterations with a linear warm-up that multiplies the decaying rate.
_base_ = '../default_runtime.py'
dacs = dict(
    type='DACSSegmentor',
    threshold=0.968,
    teacher=dict(type='Teacher', momentum=0.01),
    # The mean over all pixels, void ones counted (as released).
    decode_head=dict(loss_decode=dict(avg_non_ignore=False)),
)
train_cfg = dict(type='UDATrainLoop', max_iters=40000, val_interval=4000)
optim_wrapper = dict(
    constructor='MergedOptimWrapperConstructor',
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, weight_decay=0.01),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        custom_keys={'head': dict(lr_mult=10.0), 'norm': dict(decay_mult=0.0)},
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, end=1501, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, end=40001, by_epoch=False),
]
default_hooks = dict(checkpoint=dict(interval=4000))

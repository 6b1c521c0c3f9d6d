# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Training on labelled images alone, by VFM-UDA's optimizer and schedule. The
# rates are for eight images in all: they grow with the root of their number.
_base_ = './source_only.py'
max_iters = 40000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 8)
optim_wrapper = dict(
    _delete_=True,
    constructor='EncoderOptimWrapperConstructor',
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-5 * 8**0.5, weight_decay=0.01),
    paramwise_cfg=dict(encoder_mult=0.1, layer_decay=1.0),
)
param_scheduler = [
    dict(
        type='PolyRestartLR',
        by_epoch=False,
        power=1.0,
        warmup_iters=1500,
        warmup_from=0.001,
    )
]

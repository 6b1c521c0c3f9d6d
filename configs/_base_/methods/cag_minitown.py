# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# CAG-UDA on minitown: `model = _base_.cag_small`, in short stages.
_base_ = './cag.py'
stage_iters = 150
stages = 3
train_cfg = dict(max_iters=stages * stage_iters, val_interval=stage_iters)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='AdamW', lr=3e-4, weight_decay=0.01, fused=True
    )
)
param_scheduler = [
    dict(type='StagewisePolyLR', stage_iters=stage_iters, power=0.9)
]
default_hooks = dict(
    # Steps are slow where there is no GPU: a line every few seconds.
    logger=dict(interval=10),
    checkpoint=dict(interval=stage_iters // 2),
    monitor=dict(interval=10),
    panels=dict(interval=50),
    labeler=dict(stage_iters=stage_iters),
    anchors=dict(stage_iters=stage_iters),
)

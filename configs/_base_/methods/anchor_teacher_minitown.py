# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Anchors inside a mean teacher on minitown, as long as CAG's three stages.
_base_ = './anchor_teacher.py'
train_cfg = dict(max_iters=450, val_interval=150)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-4, weight_decay=0.01, fused=True),
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
default_hooks = dict(
    # Steps are slow where there is no GPU: a line every few seconds.
    logger=dict(interval=10),
    checkpoint=dict(interval=150, max_keep_ckpts=-1),
    monitor=dict(interval=10),
    panels=dict(interval=50),
    norm_statistics=dict(interval=150),
)

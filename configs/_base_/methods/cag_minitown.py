# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# CAG-UDA on minitown: `model = _base_.cag_small`, in short stages.
_base_ = './cag.py'
train_cfg = dict(stage_iters=150, vals_per_stage=1, saves_per_stage=2)
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
    # Two checks that find harm stop a run: both fit into the first stage.
    do_no_harm=dict(interval=75),
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Training on minitown's labelled images alone.
_base_ = './source_only.py'
auto_scale_lr = dict(base_batch_size=8)
max_iters = 600
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.01)
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
default_hooks = dict(
    checkpoint=dict(interval=max_iters // 3, max_keep_ckpts=-1)
)

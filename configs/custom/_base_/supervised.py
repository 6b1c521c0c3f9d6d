# The length and the rate of training on labelled images.
_base_ = '../../_base_/methods/source_only.py'
auto_scale_lr = dict(base_batch_size=8)
max_iters = 20000
interval = max(1, max_iters // 10)  # of validation and of checkpoints
train_cfg = dict(max_iters=max_iters, val_interval=interval)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.01)
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
default_hooks = dict(checkpoint=dict(interval=interval, max_keep_ckpts=-1))

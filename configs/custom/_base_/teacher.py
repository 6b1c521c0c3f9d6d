# The length and the rate of learning from a mean teacher. Before each
# validation batch norms get the statistics of 500 images of the target
# (docs/norm_statistics.md).
_base_ = '../../_base_/methods/anchor_teacher.py'
daformer = dict(_base_.dacs, type='DAFormerSegmentor')
max_iters = 15000
interval = max(1, max_iters // 15)  # of validation and of checkpoints
train_cfg = dict(max_iters=max_iters, val_interval=interval)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.01),
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
default_hooks = dict(
    checkpoint=dict(interval=interval, max_keep_ckpts=-1),
    norm_statistics=dict(interval=interval, images=500),
)

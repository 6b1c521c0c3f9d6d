# The length and the rate of the stages of adaptation.
_base_ = '../../_base_/methods/cag.py'
stage_iters = 5000
stages = 3
interval = max(1, stage_iters // 5)  # of validation and of checkpoints
train_cfg = dict(max_iters=stages * stage_iters, val_interval=interval)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=3e-4, weight_decay=0.01)
)
param_scheduler = [
    dict(type='StagewisePolyLR', stage_iters=stage_iters, power=0.9)
]
default_hooks = dict(
    checkpoint=dict(interval=interval),
    labeler=dict(stage_iters=stage_iters),
    anchors=dict(stage_iters=stage_iters),
)

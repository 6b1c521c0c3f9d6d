# ProDA's denoising stage from the network of source_only.py.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    './_base_/data.py',
    '../_base_/methods/proda.py',
]
# Trained first, unless its result is there.
start_from = '{{ fileDirname }}/source_only.py'
model = dict(
    _base_.proda_small, decode_head=dict(num_classes=len(_base_.classes))
)
train_cfg = dict(stage_iters=15000, vals_per_stage=15, saves_per_stage=15)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=3e-4, weight_decay=0.01)
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
# The soft labels are of a network in evaluation mode: it gets the statistics
# of the target in the end (docs/norm_statistics.md).
default_hooks = dict(norm_statistics=dict(type='NormStatisticsHook'))

# ProDA's denoising stage from the network of source_only.py.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    './_base_/data.py',
    '../_base_/methods/proda.py',
]
# Trained first, unless its result is there.
start_from = '{{ fileDirname }}/source_only.py'
model = dict(
    _base_.proda_small,
    data_preprocessor=_base_.padding,
    decode_head=dict(num_classes=len(_base_.classes)),
)
stage_iters, parts = 15000, 15  # validations and checkpoints
train_cfg = dict(
    stage_iters=stage_iters, vals_per_stage=parts, saves_per_stage=parts
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=3e-4, weight_decay=0.01)
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
# The soft labels are of a network in evaluation mode: it gets the statistics
# of 500 images of the target at the start and before each validation
# (docs/norm_statistics.md).
default_hooks = dict(
    norm_statistics=dict(
        type='NormStatisticsHook',
        interval=max(1, stage_iters // parts),
        images=500,
    )
)

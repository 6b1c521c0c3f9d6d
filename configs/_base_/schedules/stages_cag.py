# Three stages of CAG-UDA as released: SGD 1e-4, poly 0.9 on 90,000 of which
# a stage runs 84 passes over Cityscapes at batch 4, 62,412 iterations.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-4, momentum=0.9, weight_decay=2e-4),
)
param_scheduler = [
    dict(
        type='PolyRestartLR',
        by_epoch=False,
        decay_iters=90000,
        power=0.9,
    )
]
train_cfg = dict(
    type='StageTrainLoop',
    stages=3,
    stage_iters=62412,
    vals_per_stage=12,
    saves_per_stage=6,
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

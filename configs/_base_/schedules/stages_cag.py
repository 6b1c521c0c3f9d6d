# Three stages of CAG-UDA as released: SGD 1e-4, poly 0.9 on 90,000 of which
# a stage runs 84 passes over Cityscapes at batch 4, 62,412 iterations.
stage_iters = 62412
stages = 3
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-4, momentum=0.9, weight_decay=2e-4),
)
param_scheduler = [
    dict(
        type='StagewisePolyLR',
        stage_iters=stage_iters,
        decay_iters=90000,
        power=0.9,
    )
]
train_cfg = dict(
    type='IterBasedTrainLoop',
    max_iters=stages * stage_iters,
    val_interval=stage_iters // 12,
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

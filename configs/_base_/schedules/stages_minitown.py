# Stages of adaptation; the learning rate starts afresh with each.
stage_iters = 150
stages = 3
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.01, fused=True),
)
param_scheduler = [
    dict(type='StagewisePolyLR', stage_iters=stage_iters, power=0.9)
]
train_cfg = dict(
    type='IterBasedTrainLoop',
    max_iters=stages * stage_iters,
    val_interval=stage_iters,
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

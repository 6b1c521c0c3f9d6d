# The length and the rate of the stages of adaptation.
stage_iters = 5000
stages = 3
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.01),
)
param_scheduler = [
    dict(type='StagewisePolyLR', stage_iters=stage_iters, power=0.9)
]
train_cfg = dict(
    type='IterBasedTrainLoop',
    max_iters=stages * stage_iters,
    val_interval=max(1, stage_iters // 5),
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

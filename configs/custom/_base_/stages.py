# The length and the rate of the stages of adaptation.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.01),
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
train_cfg = dict(
    type='StageTrainLoop',
    stages=3,
    stage_iters=5000,
    vals_per_stage=5,
    saves_per_stage=5,
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

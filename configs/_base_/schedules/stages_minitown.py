# Stages of adaptation; the learning rate starts afresh with each.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.01, fused=True),
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
train_cfg = dict(
    type='StageTrainLoop', stages=3, stage_iters=150, saves_per_stage=2
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

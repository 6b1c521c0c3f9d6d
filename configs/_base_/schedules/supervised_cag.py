# The warm-up on the source alone: the stages' optimizer at a higher rate.
max_iters = 90000
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=2.5e-4, momentum=0.9, weight_decay=2e-4),
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
train_cfg = dict(
    type='UDATrainLoop',
    max_iters=max_iters,
    val_interval=max_iters // 18,
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# One pass of ordinary training on labelled images.
max_iters = 600
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
train_cfg = dict(
    type='UDATrainLoop', max_iters=max_iters, val_interval=max_iters
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

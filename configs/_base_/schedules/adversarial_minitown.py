# Adversarial adaptation on minitown, half as long as CAG's three stages:
# twice as long is worse (docs/minitown.md).
max_iters = 225
optim_wrapper = dict(
    constructor='JointOptimWrapperConstructor',
    type='OptimWrapper',
    members=dict(
        student=dict(optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.01)),
        discriminators=dict(
            optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.99))
        ),
    ),
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
train_cfg = dict(
    type='UDATrainLoop', max_iters=max_iters, val_interval=max_iters
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

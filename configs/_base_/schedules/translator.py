# BDL's translator: Adam at a constant rate for 10 passes over GTA5's 24,966
# images in batches of 4, then down to zero in 10 more.
max_iters = 124840
optimizer = dict(optimizer=dict(type='Adam', lr=2e-4, betas=(0.5, 0.999)))
optim_wrapper = dict(
    constructor='JointOptimWrapperConstructor',
    type='OptimWrapper',
    members=dict(generators=optimizer, discriminators=optimizer),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1.0,
        end_factor=0.0,
        begin=max_iters // 2,
        end=max_iters,
        by_epoch=False,
    )
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)

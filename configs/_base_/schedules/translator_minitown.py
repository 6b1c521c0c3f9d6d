# Minutes on two CPU cores are the budget; faster than BDL's and sooner over.
max_iters = 300
optim_wrapper = dict(
    constructor='JointOptimWrapperConstructor',
    type='OptimWrapper',
    members=dict(
        generators=dict(
            optimizer=dict(type='Adam', lr=1e-3, betas=(0.5, 0.999))
        ),
        discriminators=dict(
            optimizer=dict(type='Adam', lr=2e-4, betas=(0.5, 0.999))
        ),
    ),
)
param_scheduler = [
    dict(type='StagewisePolyLR', stage_iters=max_iters, power=0.9)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)

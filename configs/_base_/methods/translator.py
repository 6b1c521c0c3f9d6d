# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's image translator, a CycleGAN: a constant rate for half of the run, then
# down to 0. 20 epochs of GTA5's 24,966 images, four at a time.
_base_ = '../default_runtime.py'
auto_scale_lr = dict(enable=False, base_batch_size=4)
max_iters = 124840
train_cfg = dict(type='UDATrainLoop', max_iters=max_iters)
adam = dict(optimizer=dict(type='Adam', lr=2e-4, betas=(0.5, 0.999)))
optim_wrapper = dict(
    constructor='JointOptimWrapperConstructor',
    type='OptimWrapper',
    members=dict(generators=adam, discriminators=adam),
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
default_hooks = dict(
    checkpoint=dict(interval=5000),
    visualization=dict(_delete_=True, type='TranslationPanelHook'),
    discriminators=dict(type='DiscriminatorHook'),
)

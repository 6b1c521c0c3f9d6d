# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# The student and its discriminators as AdaptSegNet, CLAN and BDL train them:
# SGD 2.5e-4, ten times that in the heads, and Adam 1e-4, both poly 0.9 on
# 250,000 iterations, of which AdaptSegNet runs 150,000.
_base_ = '../default_runtime.py'
train_cfg = dict(type='UDATrainLoop', max_iters=150000, val_interval=5000)
# How often an update is repeated: docs/adversarial.md. As released:
repeated_updates = dict(
    constructor='MergedOptimWrapperConstructor',
    optimizer=dict(
        type='RepeatedSGD', lr=2.5e-4, momentum=0.9, weight_decay=5e-4
    ),
    paramwise_cfg=dict(
        custom_keys={
            'layer': dict(repeats=3),  # convolutions of the blocks
            'downsample': dict(repeats=4),  # of the shortcuts
            'head': dict(lr_mult=10.0),
        }
    ),
)
# Nearly so, by the rates of an ordinary optimizer.
approximate_updates = dict(
    constructor='MergedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=2.5e-4, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(
        custom_keys={
            'layer': dict(lr_mult=3.0, decay_mult=2.0),
            'downsample': dict(lr_mult=4.0, decay_mult=2.5),
            'head': dict(lr_mult=10.0),
        }
    ),
)
# Each weight once, as the publications say.
plain_updates = dict(
    constructor='MergedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=2.5e-4, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=10.0)}),
)
optim_wrapper = dict(
    constructor='JointOptimWrapperConstructor',
    type='OptimWrapper',
    members=dict(
        student=repeated_updates,
        discriminators=dict(
            optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.99))
        ),
    ),
)
param_scheduler = [
    dict(
        type='PolyRestartLR',
        by_epoch=False,
        decay_iters=250000,
        power=0.9,
    )
]
default_hooks = dict(
    checkpoint=dict(interval=5000),
    discriminators=dict(type='DiscriminatorHook'),
)

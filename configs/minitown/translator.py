# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# A small CycleGAN between the towns: minutes on two CPU cores.
_base_ = [
    '../_base_/models/cyclegan.py',
    '../_base_/schedules/translator.py',
    '../_base_/methods/translator_minitown.py',
]
model = dict(
    # Near to the identity from the first step on: there are few.
    generator=dict(channels=16, num_blocks=3, residual=True),
    discriminator=dict(channels=32, num_layers=2),
)
max_iters = 600
optim_wrapper = dict(
    members=dict(
        generators=dict(optimizer=dict(lr=1e-3)),
        discriminators=dict(optimizer=dict(lr=5e-4)),
    )
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
train_cfg = dict(max_iters=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters // 2))

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# A small CycleGAN between the towns: minutes on two CPU cores.
_base_ = [
    '../_base_/models/cyclegan.py',
    '../_base_/datasets/translator_minitown.py',
    '../_base_/methods/translator.py',
]
model = dict(
    # Near to the identity from the first step on: there are few.
    generator=dict(channels=16, num_blocks=3, residual=True),
    discriminator=dict(channels=32, num_layers=2),
)
max_iters = 600
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(
    members=dict(
        generators=dict(optimizer=dict(lr=1e-3)),
        discriminators=dict(optimizer=dict(lr=5e-4)),
    )
)
param_scheduler = [
    dict(_base_.param_scheduler[0], begin=max_iters // 2, end=max_iters)
]
default_hooks = dict(
    # Steps are slow where there is no GPU: a line every few seconds.
    logger=dict(interval=10),
    checkpoint=dict(interval=max_iters // 2),
)

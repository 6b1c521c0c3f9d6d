# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# ProDA's denoising stage as released, from its adversarial warm-up:
# `model = _base_.proda`; without the regularisation on SYNTHIA.
_base_ = '../default_runtime.py'
proda = dict(
    type='ProDASegmentor',
    # The weights are those of load_from, the warm-up.
    backbone=dict(init_cfg=None),
)
proda_synthia = dict(proda, weights=dict(kld=0.0))
# For small networks and short runs: the momentum network and the prototypes
# keep pace, in the modes that their statistics are estimated in.
proda_small = dict(
    type='ProDASegmentor',
    prototypes=dict(type='AnchorBank', level='image'),
    prototype_momentum=1e-3,
    momentum_teacher=dict(momentum=0.01, mode='batch_norm', ramp=True),
)
# 84 passes over Cityscapes at batch 4; a rate that would be 0 after 90,000.
train_cfg = dict(
    type='StageTrainLoop',
    stages=1,
    stage_iters=62412,
    vals_per_stage=12,
    saves_per_stage=6,
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-4, momentum=0.9, weight_decay=2e-4),
)
param_scheduler = [
    dict(type='PolyRestartLR', by_epoch=False, decay_iters=90000, power=0.9)
]
default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=-1),
    prototypes=dict(type='PrototypeHook'),
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# The adversarial warm-up of ProDA, for any network that CAG starts from; as
# long as the warm-up on the source alone.
_base_ = './adversarial.py'
warmup = dict(
    type='AdversarialSegmentor',
    # "freeze_bn": statistics, scale and shift are those of ImageNet. ProDA's
    # head has no batch norms; those of DeepLab-V3+'s are trained.
    backbone=dict(norm_eval=True, norm_cfg=dict(requires_grad=False)),
    discriminator=dict(type='ProDADiscriminator'),
    adversarial_loss=dict(type='AdversarialLoss', least_squares=True),
    adversarial_weights=[0.01],
    discriminator_weight=1.0,
)
train_cfg = dict(max_iters=90000)
optim_wrapper = dict(
    members=dict(student=dict(optimizer=dict(weight_decay=2e-4)))
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]

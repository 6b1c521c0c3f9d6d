# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's segmentation network as released.
_base_ = ['../schedules/adversarial_bdl.py', './adversarial.py']
bdl = dict(
    type='BDLSegmentor',
    # 2 in the release of 2019, which the published results are of.
    decode_head=dict(active_branches=4),
    discriminator=dict(type='FCDiscriminator'),
    adversarial_loss=dict(type='AdversarialLoss'),
    adversarial_weights=[0.001],
    discriminator_weight=0.5,
    test_cfg=dict(mode='whole', single_resize=True, softmax_first=True),
)
default_hooks = dict(checkpoint=dict(interval=10000))

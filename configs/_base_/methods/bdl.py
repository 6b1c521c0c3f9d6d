# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's segmentation network as released: AdaptSegNet's rates, of whose 250,000
# iterations 80,000 are run, and 120,000 with pseudo labels.
_base_ = './adversarial.py'
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
ssl_iters = 120000
train_cfg = dict(max_iters=80000, val_interval=10000)
default_hooks = dict(checkpoint=dict(interval=10000))

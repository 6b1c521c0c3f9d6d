# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# CLAN as released, for DeepLab-V2 with two heads of four branches: 100,000
# iterations to the end of the decay, with a linear warm-up. The image alone
# is scaled, `train_dataloader = _base_.multi_scale`; so a batch is of one.
_base_ = './adversarial.py'
clan = dict(
    type='CLANSegmentor',
    decode_head=dict(
        _delete_=True,
        type='CoTrainingHead',
        in_channels=2048,
        in_index=3,
        num_classes=19,
        align_corners=True,
        loss_decode=dict(type='SoftmaxFocalLoss', gamma=2.0),
    ),
    discriminator=dict(type='FCDiscriminator'),
    adversarial_loss=dict(type='AdversarialLoss', pixel_weights=(0.4, 40.0)),
    adversarial_weights=[0.001],
    discriminator_weight=1.0,
    weight_loss=dict(type='WeightDiscrepancyLoss', loss_weight=0.01),
    preheat=0.05,
    # The size of target images before they are scaled.
    target_size=(512, 1024),
    test_cfg=dict(mode='whole', single_resize=True),
)
max_iters = 100000
train_cfg = dict(max_iters=max_iters, val_interval=2000)
param_scheduler = [
    dict(
        type='PolyRestartLR',
        by_epoch=False,
        warmup_iters=max_iters // 20,
        power=0.9,
    )
]
default_hooks = dict(checkpoint=dict(interval=2000))

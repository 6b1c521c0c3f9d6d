# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Adversarial methods on minitown, from the source-only network, half as long
# as CAG's three stages: twice as long is worse (docs/minitown.md). A config
# says which of the three.
_base_ = './adversarial.py'
adaptsegnet = dict(
    type='AdversarialSegmentor',
    # Source-only's statistics in both domains, as in CAG.
    norm_eval=True,
    discriminator=dict(type='FCDiscriminator'),
    adversarial_loss=dict(type='AdversarialLoss'),
    adversarial_weights=[0.003],
    discriminator_weight=0.5,
)
bdl = dict(adaptsegnet, type='BDLSegmentor')
clan = dict(
    adaptsegnet,
    type='CLANSegmentor',
    # Its classifier gets a second one, drawn anew.
    decode_head=dict(loss_decode=dict(_delete_=True, type='SoftmaxFocalLoss')),
    adversarial_loss=dict(type='AdversarialLoss', pixel_weights=(0.4, 10.0)),
    adversarial_weights=[0.01],
    discriminator_weight=1.0,
    weight_loss=dict(type='WeightDiscrepancyLoss', loss_weight=0.01),
    # Until then the new classifier is not the other's equal.
    preheat=0.3,
)
auto_scale_lr = dict(base_batch_size=4)
max_iters = 225
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(
    members=dict(
        student=dict(
            _delete_=True,
            optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.01),
        )
    )
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
default_hooks = dict(
    checkpoint=dict(interval=max_iters // 2, max_keep_ckpts=-1),
    monitor=dict(interval=10),
    panels=dict(interval=50),
)

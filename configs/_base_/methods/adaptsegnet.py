# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# AdaptSegNet as released, for DeepLab-V2. A config says which of the three.
_base_ = './adversarial.py'
# Two of the four branches: the release returns after the second.
head_2_branches = dict(active_branches=2)
adaptsegnet_single = dict(
    type='AdversarialSegmentor',
    decode_head=head_2_branches,
    discriminator=dict(type='FCDiscriminator'),
    adversarial_loss=dict(type='AdversarialLoss'),
    adversarial_weights=[0.001],
    discriminator_weight=0.5,
    test_cfg=dict(mode='whole', single_resize=True),
)
adaptsegnet_ls = dict(
    adaptsegnet_single,
    adversarial_loss=dict(type='AdversarialLoss', least_squares=True),
    adversarial_weights=[0.01],
)
adaptsegnet_multi = dict(
    adaptsegnet_single,
    # Of the decode head, then of the auxiliary head on layer 3.
    adversarial_weights=[0.001, 0.0002],
    auxiliary_head=dict(
        type='DLV2Head',
        in_channels=1024,
        in_index=2,
        num_classes=19,
        align_corners=True,
        loss_decode=dict(
            type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=0.1
        ),
        **head_2_branches,
    ),
)

# CLAN as released, for DeepLab-V2 with two heads of four branches.
_base_ = ['../schedules/adversarial_clan.py', './adversarial.py']
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
# The image alone is scaled; so the sizes of a batch would differ.
train_dataloader = dict(batch_size=1)
default_hooks = dict(checkpoint=dict(interval=2000))

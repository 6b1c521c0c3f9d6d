# The adversarial warm-up of ProDA, for any network that CAG starts from.
_base_ = ['../schedules/adversarial_warmup.py', './adversarial.py']
warmup = dict(
    type='AdversarialSegmentor',
    # "freeze_bn": statistics, scale and shift are those of ImageNet.
    norm_eval=True,
    backbone=dict(norm_cfg=dict(requires_grad=False)),
    discriminator=dict(type='ProDADiscriminator'),
    adversarial_loss=dict(type='AdversarialLoss', least_squares=True),
    adversarial_weights=[0.01],
    discriminator_weight=1.0,
)
auto_scale_lr = dict(enable=False, base_batch_size=4)
train_dataloader = dict(batch_size=4, num_workers=6)

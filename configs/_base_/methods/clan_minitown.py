# CLAN on minitown.
_base_ = './adversarial_minitown.py'
clan = dict(
    _base_.adaptsegnet,
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

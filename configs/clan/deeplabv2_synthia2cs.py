# CLAN on SYNTHIA -> Cityscapes, DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/dlv2_r101.py',
    '../_base_/methods/clan_synthia2cs.py',
]
model = dict(
    _base_.clan,
    # As released for SYNTHIA.
    adversarial_loss=dict(type='AdversarialLoss', pixel_weights=(0.4, 10.0)),
)

# CLAN on SYNTHIA -> Cityscapes, DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/uda_synthia2cs_1280x760.py',
    '../_base_/methods/clan.py',
]
model = dict(
    _base_.clan,
    # As released for SYNTHIA.
    adversarial_loss=dict(type='AdversarialLoss', pixel_weights=(0.4, 10.0)),
)
# Images of three sizes.
train_dataloader = _base_.multi_scale

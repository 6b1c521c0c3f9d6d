# AdaptSegNet of two levels on SYNTHIA -> Cityscapes, DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/dlv2_r101.py',
    '../_base_/methods/adaptsegnet_synthia2cs.py',
]
model = _base_.adaptsegnet_multi

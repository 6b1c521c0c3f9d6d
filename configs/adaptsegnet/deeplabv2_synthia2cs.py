# AdaptSegNet of two levels on SYNTHIA -> Cityscapes, DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/uda_synthia2cs_1280x760.py',
    '../_base_/methods/adaptsegnet.py',
]
model = _base_.adaptsegnet_multi

# AdaptSegNet of one level on GTA5 -> Cityscapes.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/uda_gta2cs_1280x720.py',
    '../_base_/methods/adaptsegnet.py',
]
model = _base_.adaptsegnet_single

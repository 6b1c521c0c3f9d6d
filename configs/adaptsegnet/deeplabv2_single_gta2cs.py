# AdaptSegNet of one level on GTA5 -> Cityscapes.
_base_ = [
    '../_base_/models/dlv2_r101.py',
    '../_base_/methods/adaptsegnet_gta2cs.py',
]
model = _base_.adaptsegnet_single

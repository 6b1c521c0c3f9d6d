# CLAN on GTA5 -> Cityscapes, DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/dlv2_r101.py',
    '../_base_/methods/clan_gta2cs.py',
]
model = _base_.clan

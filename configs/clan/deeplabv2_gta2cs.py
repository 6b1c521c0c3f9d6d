# CLAN on GTA5 -> Cityscapes, DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/uda_gta2cs_1280x720.py',
    '../_base_/methods/clan.py',
]
model = _base_.clan
# Images of three sizes.
train_dataloader = _base_.multi_scale

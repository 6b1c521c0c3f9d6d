# CAG-UDA on GTA5 -> Cityscapes as released, with DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/methods/cag_gta2cs.py',
]
start_from = 'configs/adaptsegnet/deeplabv2_warmup_gta2cs.py'
model = _base_.cag

# CAG-UDA on GTA5 -> Cityscapes as released, with DeepLab-V3+ on ResNet-101.
_base_ = [
    '../_base_/models/deeplabv3plus_r101_cag.py',
    '../_base_/methods/cag_gta2cs.py',
]
# The warm-up: configs/source_only/deeplabv3plus_gta2cs.py
load_from = 'work_dirs/source_only/deeplabv3plus_gta2cs/iter_90000.pth'
model = _base_.cag

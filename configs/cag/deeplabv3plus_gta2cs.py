# CAG-UDA on GTA5 -> Cityscapes as released, with DeepLab-V3+ on ResNet-101.
_base_ = [
    '../_base_/models/deeplabv3plus_r101_cag.py',
    '../_base_/datasets/uda_gta2cs_896x512.py',
    '../_base_/methods/cag.py',
]
start_from = '{{ fileDirname }}/../adaptsegnet/deeplabv3plus_warmup_gta2cs.py'
model = _base_.cag

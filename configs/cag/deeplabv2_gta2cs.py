# CAG-UDA on GTA5 -> Cityscapes as released, with DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/deeplabv2-proda_r101.py',
    '../_base_/datasets/uda_gta2cs_896x512.py',
    '../_base_/methods/cag.py',
]
start_from = '{{ fileDirname }}/../adaptsegnet/deeplabv2_warmup_gta2cs.py'
model = _base_.cag

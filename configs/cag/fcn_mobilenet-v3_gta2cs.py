# CAG-UDA on GTA5 -> Cityscapes, with FCN on MobileNetV3.
_base_ = [
    '../_base_/models/fcn_mobilenet-v3.py',
    '../_base_/datasets/uda_gta2cs_896x512.py',
    '../_base_/methods/cag.py',
]
start_from = '{{ fileDirname }}/../source_only/fcn_mobilenet-v3_gta2cs.py'
model = _base_.cag_auto_margin

# CAG-UDA on GTA5 -> Cityscapes, with FCN on MobileNetV3.
_base_ = [
    '../_base_/models/fcn_mobilenet-v3.py',
    '../_base_/methods/cag_gta2cs.py',
]
start_from = 'configs/source_only/fcn_mobilenet-v3_gta2cs.py'
model = _base_.cag_auto

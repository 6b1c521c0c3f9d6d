# FCN on MobileNetV3 trained on GTA5 alone: where CAG's stages start from.
_base_ = [
    '../_base_/models/fcn_mobilenet-v3.py',
    '../_base_/methods/source_only_gta2cs.py',
]

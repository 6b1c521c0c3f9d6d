# DeepLab-V2 trained on GTA5 alone: where CAG's stages start from.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/methods/source_only_gta2cs.py',
]

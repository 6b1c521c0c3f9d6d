# DeepLab-V3+ trained on GTA5 alone: where CAG's stages start from.
_base_ = [
    '../_base_/models/deeplabv3plus_r101_cag.py',
    '../_base_/methods/source_only_gta2cs.py',
]

# DeepLab-V3+ trained on SYNTHIA alone: where CAG's stages start from.
_base_ = [
    '../_base_/models/deeplabv3plus_r101_cag.py',
    '../_base_/methods/source_only_synthia2cs.py',
]

# As deeplabv2_warmup_gta2cs.py, on CAG's DeepLab-V3+.
_base_ = [
    '../_base_/models/deeplabv3plus_r101_cag.py',
    '../_base_/datasets/uda_gta2cs_896x512.py',
    '../_base_/methods/adversarial_warmup.py',
]
model = _base_.warmup

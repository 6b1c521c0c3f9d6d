# CAG-UDA on SYNTHIA -> Cityscapes, with DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/methods/cag_synthia2cs.py',
]
# The warm-up: configs/source_only/deeplabv2_synthia2cs.py
load_from = 'work_dirs/source_only/deeplabv2_synthia2cs/iter_90000.pth'
model = _base_.cag

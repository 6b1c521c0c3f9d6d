# CAG-UDA on SYNTHIA -> Cityscapes, with DeepLab-V3+ on ResNet-101.
_base_ = [
    '../_base_/models/deeplabv3plus_r101_cag.py',
    '../_base_/datasets/uda_synthia2cs_896x512.py',
    '../_base_/methods/cag.py',
]
start_from = (
    '{{ fileDirname }}/../adaptsegnet/deeplabv3plus_warmup_synthia2cs.py'
)
model = _base_.cag

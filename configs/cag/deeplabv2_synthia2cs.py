# CAG-UDA on SYNTHIA -> Cityscapes, with DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/deeplabv2-proda_r101.py',
    '../_base_/datasets/uda_synthia2cs_896x512.py',
    '../_base_/methods/cag.py',
]
start_from = '{{ fileDirname }}/../adaptsegnet/deeplabv2_warmup_synthia2cs.py'
model = _base_.cag

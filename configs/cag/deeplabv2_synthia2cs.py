# CAG-UDA on SYNTHIA -> Cityscapes, with DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/methods/cag_synthia2cs.py',
]
start_from = 'configs/adaptsegnet/deeplabv2_warmup_synthia2cs.py'
model = _base_.cag

# CAG-UDA on GTA5 -> Cityscapes, with EfficientNet-Lite0.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/methods/cag_gta2cs.py',
]
start_from = 'configs/source_only/segformer_effnet-lite0_gta2cs.py'
model = _base_.cag_auto

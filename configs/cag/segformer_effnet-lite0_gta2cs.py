# CAG-UDA on GTA5 -> Cityscapes, with EfficientNet-Lite0.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/methods/cag_gta2cs.py',
]
# The warm-up: configs/source_only/segformer_effnet-lite0_gta2cs.py
load_from = (
    'work_dirs/source_only/segformer_effnet-lite0_gta2cs/iter_90000.pth'
)
model = _base_.cag_auto

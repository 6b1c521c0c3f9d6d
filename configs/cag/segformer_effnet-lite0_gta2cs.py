# CAG-UDA on GTA5 -> Cityscapes, with EfficientNet-Lite0.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/uda_gta2cs_896x512.py',
    '../_base_/methods/cag.py',
]
start_from = (
    '{{ fileDirname }}/../source_only/segformer_effnet-lite0_gta2cs.py'
)
model = _base_.cag_auto_margin

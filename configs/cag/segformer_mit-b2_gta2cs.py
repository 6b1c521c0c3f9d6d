# CAG-UDA on GTA5 -> Cityscapes, with SegFormer on MiT-B2.
_base_ = [
    '../_base_/models/segformer_mit-b2.py',
    '../_base_/datasets/uda_gta2cs_896x512.py',
    '../_base_/methods/cag.py',
]
start_from = '{{ fileDirname }}/../source_only/segformer_mit-b2_gta2cs.py'
model = _base_.cag_auto_margin
optim_wrapper = _base_.segformer_optim

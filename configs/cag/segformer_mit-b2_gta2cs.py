# CAG-UDA on GTA5 -> Cityscapes, with SegFormer on MiT-B2.
_base_ = [
    '../_base_/models/segformer_mit-b2.py',
    '../_base_/methods/cag_gta2cs.py',
]
start_from = 'configs/source_only/segformer_mit-b2_gta2cs.py'
model = _base_.cag_auto
optim_wrapper = _base_.segformer_optim

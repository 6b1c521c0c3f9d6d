# SegFormer on MiT-B2 trained on GTA5 alone: where CAG's stages start from.
_base_ = [
    '../_base_/models/segformer_mit-b2.py',
    '../_base_/methods/source_only_gta2cs.py',
]
optim_wrapper = _base_.segformer_optim

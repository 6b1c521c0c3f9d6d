# SegFormer on MiT-B2 trained on GTA5 alone: where CAG's stages start from.
_base_ = [
    '../_base_/models/segformer_mit-b2.py',
    '../_base_/datasets/uda_gta2cs_896x512.py',
    '../_base_/methods/source_only.py',
]
optim_wrapper = _base_.segformer_optim
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

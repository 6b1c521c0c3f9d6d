# DeepLab-V2 trained on SYNTHIA alone: where CAG's stages start from.
_base_ = [
    '../_base_/models/deeplabv2-proda_r101.py',
    '../_base_/datasets/uda_synthia2cs_896x512.py',
    '../_base_/methods/source_only.py',
]
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

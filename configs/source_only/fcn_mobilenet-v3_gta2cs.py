# FCN on MobileNetV3 trained on GTA5 alone: where CAG's stages start from.
_base_ = [
    '../_base_/models/fcn_mobilenet-v3.py',
    '../_base_/datasets/uda_gta2cs_896x512.py',
    '../_base_/methods/source_only.py',
]
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

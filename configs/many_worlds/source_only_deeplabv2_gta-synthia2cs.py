# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DeepLab-V2 trained on GTA5 and SYNTHIA alone, evaluated on Cityscapes.
_base_ = [
    '../_base_/models/deeplabv2-proda_r101.py',
    '../_base_/datasets/uda_gta-synthia2cs_896x512.py',
    '../_base_/methods/source_only.py',
]
model = dict(type='SupervisedSegmentor')
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

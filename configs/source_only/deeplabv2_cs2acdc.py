# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DeepLab-V2 trained on Cityscapes alone, evaluated on ACDC.
_base_ = [
    '../_base_/models/deeplabv2-proda_r101.py',
    '../_base_/datasets/uda_cs2acdc.py',
    '../_base_/methods/source_only.py',
]
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

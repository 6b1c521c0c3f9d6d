# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# HRDA on GTA5 -> Cityscapes, with DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/hrda_dlv2red_r101.py',
    '../_base_/datasets/uda_gta2cs_1024x1024.py',
    '../_base_/methods/daformer.py',
]
model = dict(
    _base_.daformer,
    feature_distance=dict(type='FeatureDistance', things=_base_.things),
)
train_dataloader = _base_.rare_classes
optim_wrapper = dict(paramwise_cfg=_base_.cnn_paramwise)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# MIC on DAFormer, GTA5 -> Cityscapes, with DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/dlv2red_r101.py',
    '../_base_/datasets/uda_gta2cs_512x512.py',
    '../_base_/methods/mic_daformer.py',
]
model = dict(
    _base_.mic_daformer,
    **_base_.bonnet,
    feature_distance=dict(type='FeatureDistance', things=_base_.things),
)
train_dataloader = _base_.rare_classes
optim_wrapper = dict(paramwise_cfg=_base_.cnn_paramwise)

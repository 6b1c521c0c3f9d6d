# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# MIC on DAFormer, Cityscapes -> Dark Zurich, on MiT-B5.
_base_ = [
    '../_base_/models/daformer_mit-b5.py',
    '../_base_/datasets/uda_cs2dz_512x512.py',
    '../_base_/methods/mic_daformer.py',
]
model = dict(
    _base_.mic_daformer,
    masking=dict(_base_.mic_daformer.masking, mode='separate'),
    feature_distance=dict(type='FeatureDistance', things=_base_.things),
)
train_dataloader = _base_.rare_classes

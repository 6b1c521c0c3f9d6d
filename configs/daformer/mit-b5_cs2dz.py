# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DAFormer on Cityscapes -> Dark Zurich, with its head on MiT-B5.
_base_ = [
    '../_base_/models/daformer_mit-b5.py',
    '../_base_/datasets/uda_cs2dz_512x512.py',
    '../_base_/methods/daformer.py',
]
model = dict(
    _base_.daformer,
    feature_distance=dict(type='FeatureDistance', things=_base_.things),
)
train_dataloader = _base_.rare_classes

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# MIC on HRDA, SYNTHIA -> Cityscapes, on MiT-B5.
_base_ = [
    '../_base_/models/hrda_mit-b5.py',
    '../_base_/datasets/uda_synthia2cs_1024x1024.py',
    '../_base_/methods/mic_daformer.py',
]
model = dict(
    _base_.mic_hrda,
    feature_distance=dict(type='FeatureDistance', things=_base_.things),
)
train_dataloader = _base_.rare_classes

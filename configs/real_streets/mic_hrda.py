# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# MIC on HRDA from the source-only network.
_base_ = [
    '../_base_/models/hrda_effnet-lite0_11.py',
    '../_base_/datasets/uda_real_streets.py',
    '../_base_/methods/mic_daformer_minitown.py',
]
start_from = '{{ fileDirname }}/source_only.py'
model = dict(
    _base_.mic_daformer,
    feature_distance=dict(type='FeatureDistance', things=_base_.things),
)
train_dataloader = _base_.rare_classes

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# HRDA from the source-only network, which becomes that of both scales.
_base_ = [
    '../_base_/models/hrda_effnet-lite0.py',
    '../_base_/datasets/uda_minitown.py',
    '../_base_/methods/daformer_minitown.py',
]
start_from = '{{ fileDirname }}/source_only.py'
model = dict(
    _base_.daformer,
    feature_distance=dict(type='FeatureDistance', things=_base_.things),
)
train_dataloader = _base_.rare_classes

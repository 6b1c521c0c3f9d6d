# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DAFormer on GTA5 and SYNTHIA -> Cityscapes and ACDC.
_base_ = [
    '../_base_/models/daformer_mit-b5.py',
    '../_base_/datasets/uda_all2cs-acdc_512x512.py',
    '../_base_/methods/daformer.py',
]
model = dict(
    _base_.daformer,
    feature_distance=dict(type='FeatureDistance', things=_base_.things),
)

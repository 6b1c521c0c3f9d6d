# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# MIC on DACS, Cityscapes -> Dark Zurich, with SegFormer on MiT-B2.
_base_ = [
    '../_base_/models/segformer_mit-b2.py',
    '../_base_/datasets/uda_cs2dz_512x512.py',
    '../_base_/methods/mic.py',
]
# The source has labels of real streets, which are hidden, too.
model = dict(
    _base_.mic, masking=dict(type='Masking', block=32, mode='separate')
)

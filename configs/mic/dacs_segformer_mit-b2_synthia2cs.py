# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# MIC on DACS, SYNTHIA -> Cityscapes, with SegFormer on MiT-B2.
_base_ = [
    '../_base_/models/segformer_mit-b2.py',
    '../_base_/datasets/uda_synthia2cs_512x512.py',
    '../_base_/methods/mic.py',
]
model = _base_.mic

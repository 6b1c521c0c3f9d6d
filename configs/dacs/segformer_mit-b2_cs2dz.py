# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DACS on Cityscapes -> Dark Zurich, with SegFormer on MiT-B2.
_base_ = [
    '../_base_/models/segformer_mit-b2.py',
    '../_base_/datasets/uda_cs2dz_512x512.py',
    '../_base_/methods/dacs.py',
]
model = _base_.dacs

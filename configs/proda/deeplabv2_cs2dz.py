# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# ProDA's denoising stage on Cityscapes -> Dark Zurich, from the source-only
# network.
_base_ = [
    '../_base_/models/deeplabv2-proda_r101.py',
    '../_base_/datasets/uda_cs2dz.py',
    '../_base_/methods/proda.py',
]
start_from = '{{ fileDirname }}/../source_only/deeplabv2_cs2dz.py'
model = _base_.proda

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# ProDA's denoising stage from the source-only network.
_base_ = [
    '../_base_/models/segformer_effnet-lite0_11.py',
    '../_base_/datasets/uda_real_streets.py',
    '../_base_/methods/proda_minitown.py',
]
start_from = '{{ fileDirname }}/source_only.py'
model = _base_.proda_small

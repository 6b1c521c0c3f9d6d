# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# As hrda.py, with masked images.
_base_ = [
    '../_base_/models/hrda_effnet-lite0.py',
    '../_base_/datasets/uda_minitown.py',
    '../_base_/methods/mic_minitown.py',
]
start_from = '{{ fileDirname }}/source_only.py'
model = _base_.mic

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# HRDA (on DACS) from the source-only network, which becomes both scales'.
_base_ = [
    '../_base_/models/hrda_effnet-lite0.py',
    '../_base_/datasets/uda_minitown.py',
    '../_base_/methods/dacs_minitown.py',
]
start_from = '{{ fileDirname }}/source_only.py'
model = _base_.dacs

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# CAG-UDA on GTA5 and SYNTHIA -> Cityscapes, from the network of both.
_base_ = [
    '../_base_/models/deeplabv2-proda_r101.py',
    '../_base_/datasets/uda_gta-synthia2cs_896x512.py',
    '../_base_/methods/cag.py',
]
start_from = '{{ fileDirname }}/source_only_deeplabv2_gta-synthia2cs.py'
model = _base_.cag

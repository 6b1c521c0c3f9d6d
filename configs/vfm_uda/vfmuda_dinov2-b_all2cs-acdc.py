# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# VFM-UDA on DINOv2-B, GTA5 and SYNTHIA -> Cityscapes and ACDC.
_base_ = [
    '../_base_/models/vfmuda_dinov2-b.py',
    '../_base_/datasets/uda_all2cs-acdc_vfmuda.py',
    '../_base_/methods/vfm_uda.py',
]
model = _base_.vfm_uda

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# VFM-UDA++ on DINOv2-L, GTA5 and SYNTHIA -> Cityscapes and ACDC.
_base_ = [
    '../_base_/models/vfmudaplus_dinov2-l.py',
    '../_base_/datasets/uda_all2cs-acdc_vfmuda.py',
    '../_base_/methods/vfm_uda.py',
]
model = _base_.vfm_uda_plus
optim_wrapper = dict(optimizer=dict(lr=1e-5 * 8**0.5), **_base_.slower_blocks)

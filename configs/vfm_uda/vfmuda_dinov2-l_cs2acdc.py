# VFM-UDA on DINOv2-L, Cityscapes -> ACDC.
_base_ = [
    '../_base_/models/vfmuda_dinov2-l.py',
    '../_base_/datasets/uda_cs2acdc_vfmuda.py',
    '../_base_/methods/vfm_uda.py',
]
model = _base_.vfm_uda

# VFM-UDA on DINOv2-L, SYNTHIA -> Cityscapes.
_base_ = [
    '../_base_/models/vfmuda_dinov2-l.py',
    '../_base_/datasets/uda_synthia2cs_vfmuda.py',
    '../_base_/methods/vfm_uda.py',
]
model = _base_.vfm_uda

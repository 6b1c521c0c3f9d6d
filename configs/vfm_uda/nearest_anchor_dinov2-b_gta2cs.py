# The nearest anchor of DINOv2-B, by tools/fit_anchors.py: nothing is trained.
_base_ = [
    '../_base_/models/anchors_dinov2-b.py',
    '../_base_/datasets/uda_gta2cs_vfm.py',
    '../_base_/default_runtime.py',
]

# The nearest anchor of the ImageNet encoder, by tools/fit_anchors.py: nothing
# is trained.
_base_ = [
    '../_base_/models/anchors_effnet-lite0.py',
    '../_base_/datasets/uda_minitown.py',
    '../_base_/default_runtime.py',
]

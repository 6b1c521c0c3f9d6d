# AdaptSegNet of one level on SYNTHIA -> Cityscapes.
_base_ = [
    '../_base_/models/dlv2_r101.py',
    '../_base_/methods/adaptsegnet_synthia2cs.py',
]
model = _base_.adaptsegnet_single

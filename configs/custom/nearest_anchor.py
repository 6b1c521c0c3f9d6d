# The nearest anchor of the ImageNet encoder, without any training: the first
# thing to run on new data, by tools/fit_anchors.py.
_base_ = [
    '../_base_/models/anchors_effnet-lite0.py',
    './_base_/data.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(num_classes=len(_base_.classes)))

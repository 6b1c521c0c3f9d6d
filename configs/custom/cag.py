# CAG-UDA from the network of source_only.py, with unlabelled target images.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    './_base_/data.py',
    './_base_/stages.py',
]
# Trained first, unless its result is there.
start_from = '{{ fileDirname }}/source_only.py'
model = dict(
    _base_.cag_small,
    data_preprocessor=_base_.padding,
    decode_head=dict(num_classes=len(_base_.classes)),
)

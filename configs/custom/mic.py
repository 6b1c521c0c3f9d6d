# MIC (on DACS) from the network of source_only.py: a mean teacher, mixed and
# masked images.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    './_base_/data.py',
    './_base_/teacher.py',
]
# Trained first, unless its result is there.
start_from = '{{ fileDirname }}/source_only.py'
model = dict(
    _base_.mic,
    data_preprocessor=_base_.padding,
    # The small network is full of batch norms.
    masked_statistics=False,
    decode_head=dict(_base_.mic.decode_head, num_classes=len(_base_.classes)),
)

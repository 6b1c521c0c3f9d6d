# Anchors inside a mean teacher, from the network of source_only.py, with a few
# labels of the target.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    './_base_/few_labels.py',
    './_base_/teacher.py',
]
# Trained first, unless its result is there.
start_from = '{{ fileDirname }}/source_only.py'
model = dict(
    _base_.anchor_teacher_small,
    data_preprocessor=_base_.padding,
    decode_head=dict(
        _base_.anchor_teacher_small.decode_head,
        num_classes=len(_base_.classes),
    ),
)
optim_wrapper = dict(optimizer=dict(lr=6e-4))

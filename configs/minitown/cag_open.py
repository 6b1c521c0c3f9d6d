# CAG-UDA that leaves unknown pixels of the target without labels.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/uda_minitown_open.py',
    '../_base_/methods/cag_minitown.py',
]
start_from = '{{ fileDirname }}/source_only_open.py'
model = dict(
    _base_.cag_small,
    pseudo_label_head=dict(
        _base_.cag_small.pseudo_label_head, unknown_quantile=0.99
    ),
    test_cfg=dict(mode='whole', unknown=True),
)
val_evaluator = dict(_delete_=True, **_base_.open_set_evaluator)
test_evaluator = val_evaluator

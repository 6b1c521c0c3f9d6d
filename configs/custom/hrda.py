# HRDA from the network of source_only.py, which becomes that of both scales.
_base_ = [
    '../_base_/models/hrda_effnet-lite0.py',
    './_base_/data.py',
    './_base_/teacher.py',
]
# Trained first, unless its result is there.
start_from = '{{ fileDirname }}/source_only.py'
model = dict(
    _base_.daformer,
    data_preprocessor=_base_.padding,
    # Details are a quarter of a crop.
    backbone=dict(detail_size=tuple(side // 2 for side in _base_.crop_size)),
    decode_head=dict(
        _base_.daformer.decode_head, num_classes=len(_base_.classes)
    ),
    # Of a network that predicts in windows, such as hrda_mit-b5.py.
    test_cfg=dict(
        crop_size=_base_.crop_size,
        stride=tuple(side // 2 for side in _base_.crop_size),
    ),
    # Of all classes; things=[...] names some, by their place in classes.
    feature_distance=dict(type='FeatureDistance'),
)
train_dataloader = _base_.rare_classes

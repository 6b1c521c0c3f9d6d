# DAFormer from the network of source_only.py, with unlabelled target images.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    './_base_/data.py',
    './_base_/teacher.py',
]
# Trained first, unless its result is there.
start_from = '{{ fileDirname }}/source_only.py'
model = dict(
    _base_.daformer,
    data_preprocessor=_base_.padding,
    decode_head=dict(
        _base_.daformer.decode_head, num_classes=len(_base_.classes)
    ),
    # Of all classes; things=[...] names some, by their place in classes.
    feature_distance=dict(type='FeatureDistance'),
)
train_dataloader = _base_.rare_classes

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# EfficientNet-Lite0 as it is after ImageNet, with anchors in the place of a
# trained classifier: all four maps at stride 4, whitened.
_base_ = './segformer_effnet-lite0.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='AnchorHead',
        in_channels=[24, 40, 112, 320],
        in_index=[0, 1, 2, 3],
        input_transform='resize_concat',
        whiten=True,
        num_classes=_base_.num_classes,
        align_corners=False,
    ),
)

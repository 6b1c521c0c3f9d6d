# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DINOv2-B as it is, with anchors in the place of a trained classifier.
_base_ = './linear_dinov2-b.py'
model = dict(
    decode_head=dict(
        _delete_=True,
        type='AnchorHead',
        in_channels=768,
        whiten=True,
        num_classes=_base_.num_classes,
        align_corners=False,
    ),
)

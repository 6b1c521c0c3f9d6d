# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# EfficientNet-Lite2 with a feature pyramid: a second network for minitown,
# whose features, a sum over the pyramid, are of another scale.
_base_ = './segformer_effnet-lite0.py'
model = dict(
    backbone=dict(arch='lite2'),
    neck=dict(
        type='FPN',
        in_channels=[24, 48, 120, 352],
        out_channels=64,
        num_outs=4,
    ),
    decode_head=dict(
        _delete_=True,
        type='FPNHead',
        in_channels=[64, 64, 64, 64],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=64,
        dropout_ratio=0.1,
        num_classes=_base_.num_classes,
        norm_cfg=dict(type='BN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
)

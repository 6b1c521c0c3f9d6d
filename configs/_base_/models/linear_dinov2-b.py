# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# One linear layer on DINOv2-B, which is not trained.
_base_ = './vfmuda_dinov2-b.py'
model = dict(
    backbone=dict(frozen_stages='all'),
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=768,
        in_index=0,
        channels=768,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        num_classes=_base_.num_classes,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
)

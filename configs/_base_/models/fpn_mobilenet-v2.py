# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# torchvision's MobileNetV2 with a feature pyramid: a small network of another
# family than EfficientNet-Lite.
_base_ = './fpn_effnet-lite2.py'
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],  # as the ImageNet weights expect
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        _delete_=True, type='ImageNetMobileNetV2', pretrained='imagenet'
    ),
    neck=dict(in_channels=[24, 32, 96, 320]),
)

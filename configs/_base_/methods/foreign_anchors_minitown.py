# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Anchors of torchvision's MobileNetV2, which is frozen, beside those of the
# student's own teacher, on minitown.
_base_ = './anchor_teacher_minitown.py'
foreign_anchors_small = dict(
    _base_.anchor_teacher_small,
    type='ForeignAnchorSegmentor',
    foreign_labels='veto',
    alignment=dict(type='AnchorAlignmentLoss', kind='infonce'),
    foreign=dict(
        type='EncoderDecoder',
        data_preprocessor=dict(
            type='SegDataPreProcessor',
            mean=[123.675, 116.28, 103.53],  # as the ImageNet weights expect
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            pad_val=0,
            seg_pad_val=255,
            size_divisor=1,
        ),
        backbone=dict(type='ImageNetMobileNetV2', pretrained='imagenet'),
        decode_head=dict(
            type='AnchorHead',
            in_channels=[24, 32, 96, 320],
            in_index=[0, 1, 2, 3],
            input_transform='resize_concat',
            whiten=True,
            num_classes=19,
            align_corners=False,
        ),
    ),
)
default_hooks = dict(foreign_anchors=dict(type='ForeignAnchorHook'))

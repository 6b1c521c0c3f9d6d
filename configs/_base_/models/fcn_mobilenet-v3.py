# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# MobileNetV3-Large at output stride 8 with one convolution as its head.
model = dict(
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
    backbone=dict(
        type='MobileNetV3',
        arch='large',
        out_indices=(16,),
        norm_cfg=dict(type='BN', eps=1e-3, requires_grad=True),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/mobilenet_v3_large-bc2c3fd3.pth',
        ),
    ),
    decode_head=dict(
        type='FCNHead',
        in_channels=960,
        in_index=0,
        channels=128,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=dict(type='BN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

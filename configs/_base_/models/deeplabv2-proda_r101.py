# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DeepLab-V2 with a 256-channel feature before the classifier (ProDA's form).
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        # RGB in 0..1; ImageNet's mean and deviation are never applied.
        mean=[0, 0, 0],
        std=[255, 255, 255],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=1,
    ),
    backbone=dict(
        type='CeilResNet',
        depth=101,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        contract_dilation=False,
        style='caffe',
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=dict(
            type='Pretrained', checkpoint='checkpoints/resnet101-63fe2227.pth'
        ),
    ),
    decode_head=dict(
        type='ProDAHead',
        in_channels=2048,
        in_index=3,
        channels=256,
        dropout_ratio=0.1,
        num_classes=19,
        align_corners=True,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

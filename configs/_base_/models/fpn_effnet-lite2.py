# EfficientNet-Lite2 with a feature pyramid: a second network for minitown,
# whose features, a sum over the pyramid, are of another scale.
num_classes = 19
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.0, 127.0, 127.0],  # as the ImageNet weights expect
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=1,
    ),
    backbone=dict(
        type='EfficientNetLite',
        arch='lite2',
        out_indices=(0, 1, 2, 3),
        pretrained='imagenet',
    ),
    neck=dict(
        type='FPN',
        in_channels=[24, 48, 120, 352],
        out_channels=64,
        num_outs=4,
    ),
    decode_head=dict(
        type='FPNHead',
        in_channels=[64, 64, 64, 64],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=64,
        dropout_ratio=0.1,
        num_classes=num_classes,
        norm_cfg=dict(type='BN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

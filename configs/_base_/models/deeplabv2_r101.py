# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Classical DeepLab-V2: four dilated classifiers on ResNet-101 (AdaptSegNet,
# CLAN, BDL).
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        # BGR less the mean, in grey levels: what the caffe weights expect.
        mean=[104.00698793, 116.66876762, 122.67891434],
        std=[1, 1, 1],
        bgr_to_rgb=False,
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
        # Scale and shift are fixed, but the statistics are the batch's.
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=False,
        # The family's ImageNet weights, through tools/model_converters.
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/deeplab_resnet_init.pth',
            prefix='backbone.',
        ),
    ),
    decode_head=dict(
        type='DLV2Head',
        in_channels=2048,
        in_index=3,
        # 2 in AdaptSegNet and in the published checkpoints of BDL.
        active_branches=4,
        num_classes=19,
        align_corners=True,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# VFM-UDA's network: DINOv2-L, all of it trained, and two doublings of its last
# map. A crop of 1024 pixels is 1120 inside, 80 x 80 tokens.
num_classes = 19
window = 1024
model = dict(
    type='SingleResizeEncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],  # as DINOv2 was trained
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=1,
    ),
    backbone=dict(
        type='DINOv2',
        arch='large',
        resize=1.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/dinov2_vitl14_pretrain.pth',
        ),
    ),
    decode_head=dict(
        type='VFMUDAHead',
        in_channels=1024,
        num_classes=num_classes,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    # Windows meet in their probabilities, not in their logits.
    test_cfg=dict(
        mode='slide',
        crop_size=(window, window),
        stride=(window // 2, window // 2),
        softmax_windows=True,
    ),
)

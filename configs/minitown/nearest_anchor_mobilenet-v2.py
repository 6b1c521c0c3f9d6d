# The nearest anchor of another encoder, of another family.
_base_ = './nearest_anchor.py'
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],  # as the ImageNet weights expect
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        _delete_=True, type='ImageNetMobileNetV2', pretrained='imagenet'
    ),
    decode_head=dict(in_channels=[24, 32, 96, 320]),
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# An ordinary head of mmseg on DINOv2-B: the maps of four blocks, at strides
# 3.5, 7, 14 and 28. For another head change decode_head alone.
_base_ = './vfmuda_dinov2-b.py'
norm = dict(type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(out_indices=(2, 5, 8, 11)),
    neck=dict(
        type='Feature2Pyramid',
        embed_dim=768,
        rescales=[4, 2, 1, 0.5],
        norm_cfg=norm,
    ),
    decode_head=dict(
        _delete_=True,
        type='SegformerHead',
        in_channels=[768, 768, 768, 768],
        in_index=[0, 1, 2, 3],
        channels=256,
        dropout_ratio=0.1,
        num_classes=_base_.num_classes,
        norm_cfg=norm,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# VFM-UDA++'s network on DINOv2-B.
_base_ = './vfmudaplus_dinov2-l.py'
model = dict(
    backbone=dict(
        arch='base',
        init_cfg=dict(checkpoint='checkpoints/dinov2_vitb14_pretrain.pth'),
    ),
    decode_head=dict(in_channels=768),
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# VFM-UDA++'s network: a ViT-Adapter beside DINOv2-L, and a light pyramid.
_base_ = './vfmuda_dinov2-l.py'
norm = dict(type='SyncBN', momentum=0.01)
model = dict(
    backbone=dict(type='ViTAdapter', norm_cfg=norm),
    decode_head=dict(type='VFMUDAPlusHead', norm_cfg=norm),
)

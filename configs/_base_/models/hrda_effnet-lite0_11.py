# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# segformer_effnet-lite0_11.py on two scales; details are half of an image of
# 240 x 320.
_base_ = './segformer_effnet-lite0_11.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='HRDABackbone',
        backbone=_base_.model.backbone,
        detail_size=(120, 160),
    ),
    decode_head=dict(
        type='HRDAHead', head='SegformerHead', attention_channels=64
    ),
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# segformer_effnet-lite0.py on two scales; details are half of minitown's
# images.
_base_ = './segformer_effnet-lite0.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='HRDABackbone',
        backbone=_base_.model.backbone,
        detail_size=(64, 128),
    ),
    decode_head=dict(
        type='HRDAHead', head='SegformerHead', attention_channels=64
    ),
)

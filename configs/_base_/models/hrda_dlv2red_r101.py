# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# HRDA: dlv2red_r101.py on two scales. Its scores have stride 8.
_base_ = './dlv2red_r101.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='HRDABackbone',
        backbone=_base_.model.backbone,
        detail_size=(512, 512),
        divisor=16,
    ),
    decode_head=dict(type='HRDAHead', head='DLV2Head'),
    test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(512, 512)),
)

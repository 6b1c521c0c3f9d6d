# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# HRDA: daformer_mit-b5.py on two scales. Frames are predicted in windows of
# the size of the crops.
_base_ = './daformer_mit-b5.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='HRDABackbone',
        backbone=_base_.model.backbone,
        detail_size=(512, 512),
    ),
    decode_head=dict(type='HRDAHead', head='DAFormerHead'),
    test_cfg=dict(mode='slide', crop_size=(1024, 1024), stride=(512, 512)),
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# hrda_effnet-lite0.py for the 11 classes of CamVid; details are half of the
# images there.
_base_ = './hrda_effnet-lite0.py'
num_classes = 11
model = dict(
    backbone=dict(detail_size=(120, 160)),
    decode_head=dict(num_classes=num_classes),
)

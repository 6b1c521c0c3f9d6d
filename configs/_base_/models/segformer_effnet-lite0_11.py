# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# The small network for the 11 classes of CamVid.
_base_ = './segformer_effnet-lite0.py'
num_classes = 11
model = dict(decode_head=dict(num_classes=num_classes))

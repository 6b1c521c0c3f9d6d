# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's self-supervised step: the target has pseudo labels, the run is longer.
_base_ = './deeplabv2_gta2cs.py'
train_dataloader = dict(
    dataset=dict(target=dict(_delete_=True, **_base_.target_pseudo))
)
param_scheduler = _base_.ssl_scheduler
train_cfg = _base_.ssl_train_cfg

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's self-supervised step: the target has pseudo labels, the run is longer.
_base_ = './deeplabv2_gta2cs.py'
train_dataloader = _base_.pseudo_labels
train_cfg = dict(max_iters=_base_.ssl_iters)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL's self-supervised step: the target has pseudo labels.
_base_ = './bdl.py'
train_dataloader = _base_.pseudo_labels

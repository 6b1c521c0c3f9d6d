# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Trained on CamVid's labels: what adaptation could reach at most.
_base_ = './source_only.py'
train_dataloader = dict(dataset=dict(_delete_=True, **_base_.target_labelled))

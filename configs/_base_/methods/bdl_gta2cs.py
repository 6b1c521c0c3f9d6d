# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
_base_ = ['../datasets/bdl_gta2cs.py', './bdl.py']
train_dataloader = dict(
    dataset=dict(source=_base_.source_translated, target=_base_.target_train)
)

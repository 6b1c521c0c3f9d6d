# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# A big network teaches a small one, as long as DACS; a config names the
# teacher: `distillation=dict(_base_.distillation, teacher=dict(...))`.
_base_ = './dacs.py'
distillation = dict(weights=dict(soft=1.0))

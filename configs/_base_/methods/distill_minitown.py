# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Distillation on minitown, as long as CAG's three stages.
_base_ = './dacs_minitown.py'
distillation = dict(weights=dict(soft=1.0))

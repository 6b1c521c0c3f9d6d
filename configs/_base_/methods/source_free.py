# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# CAG's stages 2 and 3 without a source: `model = _base_.source_free`, and a
# target alone. `load_from` is all that is known of the source.
_base_ = './cag.py'
source_free = dict(_base_.cag_auto_margin, type='SourceFreeCAGSegmentor')
train_cfg = dict(stages=2)
default_hooks = dict(anchors=dict(recompute=False))

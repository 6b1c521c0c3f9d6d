# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# CAG's stages 2 and 3 without a source on minitown.
_base_ = './cag_minitown.py'
source_free_small = dict(
    _base_.cag_small,
    type='SourceFreeCAGSegmentor',
    backbone=dict(pretrained=None),
)
train_cfg = dict(stages=2)
default_hooks = dict(anchors=dict(recompute=False))

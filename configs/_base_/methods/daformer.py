# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DAFormer: DACS whose teacher is slower; leaves name the classes whose
# features stay near the pre-training's, and sample rare classes.
_base_ = './dacs.py'
daformer = dict(
    _base_.dacs,
    type='DAFormerSegmentor',
    teacher=dict(type='Teacher', momentum=0.001),
)
# Images of a car: its bonnet, and what rectification has left at the top.
bonnet = dict(untrusted_top=15, untrusted_bottom=120)
# A CNN has no layer norms: all of it decays.
cnn_paramwise = dict(_delete_=True, custom_keys=dict(head=dict(lr_mult=10.0)))

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Category anchors inside a mean teacher, with mixed and masked images and the
# schedule of DAFormer; leaves sample rare classes.
_base_ = './mic.py'
anchor_teacher = dict(
    _base_.mic,
    type='AnchorTeacherSegmentor',
    teacher=dict(type='Teacher', momentum=0.001),
    # A hundred images: features change as the network learns.
    anchor_bank=dict(type='AnchorBank', level='image', cap=100),
    pseudo_label_head=dict(
        type='PseudoLabelHead', margin='auto', precision=0.9
    ),
)
# For short runs on small images. Masked images cost a third of a step, and
# gained nothing there (docs/anchor_teacher.md).
anchor_teacher_small = dict(
    anchor_teacher,
    teacher=dict(type='Teacher', momentum=0.01),
    masking=None,
)
# Images of a car: its bonnet, and what rectification has left at the top.
bonnet = dict(untrusted_top=15, untrusted_bottom=120)
# Before each validation and in the end (docs/norm_statistics.md).
default_hooks = dict(
    norm_statistics=dict(type='NormStatisticsHook', start=False, interval=4000)
)

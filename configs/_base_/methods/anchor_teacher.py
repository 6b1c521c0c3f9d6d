# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Category anchors inside a mean teacher, with DACS's schedule.
_base_ = './dacs.py'
anchor_teacher = dict(
    type='AnchorTeacherSegmentor',
    threshold=0.968,
    teacher=dict(type='Teacher', momentum=0.01),
    # The mean over all pixels, void ones counted, as in DACS.
    decode_head=dict(loss_decode=dict(avg_non_ignore=False)),
    # A hundred images: features change as the network learns.
    anchor_bank=dict(type='AnchorBank', level='image', cap=100),
    pseudo_label_head=dict(
        type='PseudoLabelHead', margin='auto', precision=0.95
    ),
)
default_hooks = dict(
    norm_statistics=dict(type='NormStatisticsHook', start=False)
)

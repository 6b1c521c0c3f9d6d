# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# VFM-UDA, and VFM-UDA++ with a frozen DINOv2-L, by the optimizer and the
# schedule that both have.
_base_ = './source_only_vfm.py'
mirror_teacher = dict(type='Teacher', momentum=0.001, mirror=True)
vfm_uda = dict(
    type='VFMUDASegmentor',
    mask_ratio=0.7,
    backbone=dict(masked=True),
    teacher=mirror_teacher,
)
vfm_uda_plus = dict(
    type='VFMUDAPlusSegmentor',
    mask_ratio=0.7,
    teacher=mirror_teacher,
    encoder=dict(
        type='DINOv2',
        arch='large',
        registers=4,
        resize=(406, 406),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/dinov2_vitl14_reg4_pretrain.pth',
        ),
    ),
)
# VFM-UDA++: each block at 0.9 of the next one's rate.
slower_blocks = dict(paramwise_cfg=dict(layer_decay=0.9))

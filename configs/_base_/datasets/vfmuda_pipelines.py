# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Crops of 1024 x 1024 of images whose short side varies, as VFM-UDA has them.
vfm_resize = dict(
    type='RandomResize',
    ratio_range=(0.9, 1.1),
    keep_ratio=True,
    backend='pillow',
)
vfm_pad = dict(
    type='PadMarked', size=(1024, 1024), pad_val=dict(img=0, seg=255)
)
vfm_crop = dict(type='RandomCrop', crop_size=(1024, 1024))
vfm_flip = dict(type='RandomFlip', prob=0.5)
# How a labelled image goes on after its resize: drawn for a class.
vfm_labelled = [
    vfm_pad,
    dict(
        type='RedrawCrop',
        transforms=[vfm_crop],
        min_share=6000 / 1024**2,
        attempts=20,
        cat_max_ratio=0.75,
    ),
    vfm_flip,
    dict(type='PackSegInputs'),
]
# How a target image does, whose margins are marked.
vfm_unlabelled = [
    dict(**vfm_resize, scale=(10000, 1024)),  # the shorter side binds
    vfm_pad,
    vfm_crop,
    vfm_flip,
    dict(type='PackMarkedSegInputs'),
]
# As released: one process of eight, or four of two each.
vfm_batch = 8

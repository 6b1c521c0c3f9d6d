# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Images at half of Cityscapes' size and crops of 512 x 512, as DAFormer has
# them: the resize keeps proportions, so what it names is a box.
crop_512 = dict(type='RandomCrop', crop_size=(512, 512))
varied_crop = dict(**crop_512, cat_max_ratio=0.75)
flip_512 = dict(type='RandomFlip', prob=0.5)
# Cityscapes' light, sign, person, rider and vehicles.
things = [6, 7, 11, 12, 13, 14, 15, 16, 17, 18]
# How a labelled image goes on after its resize: plainly, or drawn for a class.
cropped = [varied_crop, flip_512, dict(type='PackSegInputs')]
cropped_for_class = [
    dict(type='RedrawCrop', transforms=[varied_crop]),
    flip_512,
    dict(type='FindThings', things=things),
    dict(type='PackMarkedSegInputs'),
]
half_size = dict(type='Resize', scale=(1024, 512), keep_ratio=True)
half_size_target = [
    dict(type='LoadImageFromFile'),
    half_size,
    crop_512,
    flip_512,
    dict(type='PackSegInputs'),
]
# The label after the resize: predictions are compared at its own size.
half_size_val = [
    dict(type='LoadImageFromFile'),
    half_size,
    dict(type='LoadLabelIds', ids='cityscapes'),
    dict(type='PackSegInputs'),
]
half_size_test = [
    dict(type='LoadImageFromFile'),
    half_size,
    dict(type='PackSegInputs'),
]

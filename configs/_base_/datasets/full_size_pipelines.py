# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Images at Cityscapes' size and crops of 1024 x 1024, as HRDA has them.
crop_1024 = dict(type='RandomCrop', crop_size=(1024, 1024))
varied_crop = dict(**crop_1024, cat_max_ratio=0.75)
flip_1024 = dict(type='RandomFlip', prob=0.5)
# Cityscapes' light, sign, person, rider and vehicles.
things = [6, 7, 11, 12, 13, 14, 15, 16, 17, 18]
# How a labelled image goes on after its resize: plainly, or drawn for a class.
cropped = [varied_crop, flip_1024, dict(type='PackSegInputs')]
cropped_for_class = [
    dict(type='RedrawCrop', transforms=[varied_crop]),
    flip_1024,
    dict(type='FindThings', things=things),
    dict(type='PackMarkedSegInputs'),
]
full_size_target = [
    dict(type='LoadImageFromFile'),
    crop_1024,
    flip_1024,
    dict(type='PackSegInputs'),
]
# Without the bonnet of Cityscapes' car and what rectification has left at the
# borders; instead of margins of the crop.
trusted_target = [
    dict(type='LoadImageFromFile'),
    dict(type='MarkUntrusted', top=30, bottom=240, left=30, right=30),
    crop_1024,
    flip_1024,
    dict(type='PackMarkedSegInputs'),
]

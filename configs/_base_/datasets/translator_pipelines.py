# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Images as BDL's translator has them: 1024 pixels wide, crops of 452 x 452.
# No step opens a label, of neither domain.
translator_resize = dict(
    type='Resize',
    scale=(1024, 1024),  # the longer side binds: the width
    keep_ratio=True,
    interpolation='bicubic',
    backend='pillow',
)
translator_train = [
    dict(type='LoadImageFromFile'),
    translator_resize,
    dict(type='RandomCrop', crop_size=(452, 452)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
# Whole images.
translator_test = [
    dict(type='LoadImageFromFile'),
    translator_resize,
    dict(type='PackSegInputs'),
]

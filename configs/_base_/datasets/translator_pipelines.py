# Images as BDL's translator has them: 1024 pixels wide, crops of 452 x 452.
translator_resize = dict(
    type='Resize',
    scale=(1024, 1024),  # the longer side binds: the width
    keep_ratio=True,
    interpolation='bicubic',
    backend='pillow',
)
translator_crops = [
    dict(type='LoadImageFromFile'),
    translator_resize,
    dict(type='RandomCrop', crop_size=(452, 452)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
translator_frames = [
    dict(type='LoadImageFromFile'),
    translator_resize,
    dict(type='PackSegInputs'),
]

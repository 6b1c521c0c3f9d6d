# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Images as AdaptSegNet, CLAN and BDL have them: resized to one size for each
# data set, by Pillow, whose bicubic filter smooths as it shrinks; no crop.
resize = dict(
    type='Resize',
    keep_ratio=False,
    interpolation='bicubic',
    backend='pillow',
)
target_size = dict(scale=(1024, 512))
target_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(**resize, **target_size),
    dict(type='PackSegInputs'),
]
# The label after the resize: predictions are compared at its own size.
val_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(**resize, **target_size),
    dict(type='LoadLabelIds', ids='cityscapes'),
    dict(type='PackSegInputs'),
]
# CLAN: images of three sizes and flips; a label keeps its own size.
multi_scale_odds = [0.3, 0.4, 0.3]
multi_scale_target = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(
            type='RandomChoice',
            prob=multi_scale_odds,
            transforms=[
                [dict(**resize, scale=(819, 409))],
                [dict(**resize, scale=(1024, 512))],
                [dict(**resize, scale=(1126, 563))],
            ],
        ),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackSegInputs'),
    ]
)
# BDL's self-supervised step: labels that a network has given the target, as
# tools/make_pseudo_labels.py has written them, relative to data_root.
pseudo_labels = dict(
    dataset=dict(
        domains=dict(
            target=dict(
                data_prefix=dict(seg_map_path='pseudo_labels'),
                seg_map_suffix='_leftImg8bit.png',
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(
                        type='Resize',
                        interpolation='bicubic',
                        backend='pillow',
                        **target_size,
                    ),
                    dict(type='LoadPseudoLabels'),
                    dict(type='PackPseudoSegInputs'),
                ],
            )
        ),
    )
)

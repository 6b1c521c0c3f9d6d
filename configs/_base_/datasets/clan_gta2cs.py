# GTA5 -> Cityscapes with CLAN's scales and flips.
_base_ = './dlv2_gta2cs.py'
source_train = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(
            type='RandomChoice',
            prob=_base_.clan_odds,
            transforms=[
                [dict(**_base_.dlv2_resize, scale=(1024, 576))],
                [dict(**_base_.dlv2_resize, scale=(1280, 720))],
                [dict(**_base_.dlv2_resize, scale=(1408, 792))],
            ],
        ),
        dict(type='LoadLabelIds', ids='gta'),
        dict(type='ResizeLabel', scale=(1280, 720), backend='pillow'),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackSegInputs'),
    ]
)
target_train = dict(pipeline=_base_.clan_target_pipeline)

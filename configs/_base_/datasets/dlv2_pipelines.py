# Images as AdaptSegNet, CLAN and BDL have them: resized to one size for each
# data set, by Pillow, whose bicubic filter smooths as it shrinks; no crop.
dlv2_resize = dict(
    type='Resize',
    keep_ratio=False,
    interpolation='bicubic',
    backend='pillow',
)
dlv2_target = dict(scale=(1024, 512))
dlv2_target_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(**dlv2_resize, **dlv2_target),
    dict(type='PackSegInputs'),
]
# The label after the resize: predictions are compared at its own size.
dlv2_val_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(**dlv2_resize, **dlv2_target),
    dict(type='LoadLabelIds', ids='cityscapes'),
    dict(type='PackSegInputs'),
]
# CLAN: images of three sizes and flips; a label keeps its own size.
clan_odds = [0.3, 0.4, 0.3]
clan_target_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomChoice',
        prob=clan_odds,
        transforms=[
            [dict(**dlv2_resize, scale=(819, 409))],
            [dict(**dlv2_resize, scale=(1024, 512))],
            [dict(**dlv2_resize, scale=(1126, 563))],
        ],
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# GTA5 -> Cityscapes at the sizes of the DeepLab-V2 family.
_base_ = ['./uda_gta2cs_896x512.py', './deeplabv2_pipelines.py']
source = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='gta'),
        dict(**_base_.resize, scale=(1280, 720)),
        dict(type='PackSegInputs'),
    ]
)
target_dataset = dict(pipeline=_base_.target_pipeline)
auto_scale_lr = dict(base_batch_size=1)
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    dataset=dict(domains=dict(source=source, target=target_dataset)),
)
source_dataloader = dict(batch_size=1, num_workers=4, dataset=source)
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
test_pipeline = _base_.target_pipeline
# CLAN's images of three sizes: `train_dataloader = _base_.multi_scale`.
multi_scale = dict(
    dataset=dict(
        domains=dict(
            source=dict(
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(
                        type='RandomChoice',
                        prob=_base_.multi_scale_odds,
                        transforms=[
                            [dict(**_base_.resize, scale=(1024, 576))],
                            [dict(**_base_.resize, scale=(1280, 720))],
                            [dict(**_base_.resize, scale=(1408, 792))],
                        ],
                    ),
                    dict(type='LoadLabelIds', ids='gta'),
                    dict(
                        type='ResizeLabel', scale=(1280, 720), backend='pillow'
                    ),
                    dict(type='RandomFlip', prob=0.5),
                    dict(type='PackSegInputs'),
                ]
            ),
            target=_base_.multi_scale_target,
        ),
    )
)
# BDL: the source in the style of the target, as tools/translate.py writes it,
# or of your own; relative to data_root or absolute.
translated = dict(
    dataset=dict(
        domains=dict(
            source=dict(
                data_prefix=dict(img_path='{{$GTA_TRANSLATED:translated}}'),
                pipeline=[
                    dict(type='LoadTranslatedImage'),
                    dict(type='LoadLabelIds', ids='gta'),
                    dict(**_base_.resize, scale=(1280, 720)),
                    dict(type='PackSegInputs'),
                ],
            )
        ),
    )
)

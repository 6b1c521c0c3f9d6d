# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# The embedded pair of towns: source in GTA5's form, target in Cityscapes'.
data_root = '{{$MINITOWN_ROOT:data/minitown}}/'
augmentation = [
    dict(
        type='RandomResize',
        scale=(256, 128),
        ratio_range=(1.0, 1.5),
        keep_ratio=True,
    ),
    dict(type='RandomCrop', crop_size=(128, 256), cat_max_ratio=1.0),
    dict(type='RandomFlip', prob=0.5),
]
gta = dict(
    type='GTADataset',
    data_root=data_root + 'gta',
    data_prefix=dict(img_path='images', seg_map_path='labels'),
)
source = dict(
    **gta,
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='gta'),
        *augmentation,
        dict(type='PackSegInputs'),
    ],
)
source_no_aug = dict(
    **gta,
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='gta'),
        dict(type='PackSegInputs'),
    ],
)
# As adaptation sees it: no step of the pipeline opens a label.
target_dataset = dict(
    type='CityscapesDataset',
    data_root=data_root + 'cityscapes',
    data_prefix=dict(img_path='leftImg8bit/train'),
    pipeline=[
        dict(type='LoadImageFromFile'),
        *augmentation,
        dict(type='PackSegInputs'),
    ],
)
# As the oracle sees it.
target_labelled = dict(
    type='CityscapesDataset',
    data_root=data_root + 'cityscapes',
    data_prefix=dict(
        img_path='leftImg8bit/train', seg_map_path='gtFine/train'
    ),
    seg_map_suffix='_gtFine_labelIds.png',
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='cityscapes'),
        *augmentation,
        dict(type='PackSegInputs'),
    ],
)
# The batch that the learning rates are for.
auto_scale_lr = dict(enable=False, base_batch_size=4)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='UDASampler'),
    dataset=dict(
        type='UDADataset',
        domains=dict(source=source, target=target_dataset),
    ),
)
# For training on labelled images alone, in the place of train_dataloader.
source_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=source,
)
anchor_dataloader = dict(
    batch_size=10,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=source_no_aug,
)
val_dataloader = dict(
    batch_size=10,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CityscapesDataset',
        data_root=data_root + 'cityscapes',
        data_prefix=dict(
            img_path='leftImg8bit/val', seg_map_path='gtFine/val'
        ),
        seg_map_suffix='_gtFine_labelIds.png',
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadLabelIds', ids='cityscapes'),
            dict(type='PackSegInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
# An image alone, as mmseg.apis.inference_model has it.
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
val_evaluator = dict(type='UDAIoUMetric')
test_evaluator = val_evaluator
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# Rare class sampling: `train_dataloader = _base_.rare_classes`.
# Cityscapes' light, sign, person, rider and vehicles.
things = [6, 7, 11, 12, 13, 14, 15, 16, 17, 18]
rare_classes = dict(
    sampler=dict(orders=dict(source=dict(type='RareClassOrder'))),
    dataset=dict(
        domains=dict(
            source=dict(
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='LoadLabelIds', ids='gta'),
                    dict(type='RedrawCrop', transforms=augmentation),
                    dict(type='FindThings', things=things),
                    dict(type='PackMarkedSegInputs'),
                ]
            ),
        ),
    ),
)
# BDL: the source in the style of the target, as tools/translate.py writes it,
# or of your own; relative to data_root or absolute.
translated = dict(
    dataset=dict(
        domains=dict(
            source=dict(
                data_prefix=dict(img_path='translated'),
                pipeline=[
                    dict(type='LoadTranslatedImage'),
                    dict(type='LoadLabelIds', ids='gta'),
                    *augmentation,
                    dict(type='PackSegInputs'),
                ],
            )
        ),
    )
)
# BDL's self-supervised step: labels that a network has given the target, as
# tools/make_pseudo_labels.py writes them, relative to data_root.
pseudo_labels = dict(
    dataset=dict(
        domains=dict(
            target=dict(
                data_prefix=dict(seg_map_path='pseudo_labels'),
                seg_map_suffix='_leftImg8bit.png',
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='LoadPseudoLabels'),
                    *augmentation,
                    dict(type='PackPseudoSegInputs'),
                ],
            )
        ),
    )
)

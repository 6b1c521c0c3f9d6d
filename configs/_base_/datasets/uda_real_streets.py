# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Drawn streets -> the real ones of CamVid: docs/real_streets.md. The source
# is a minitown drawn at 240x320; images of both are seen at that size, and
# predictions are scored at CamVid's own, 360x480.
source_root = '{{$STREETS_ROOT:data/real_streets}}/'
target_root = '{{$CAMVID_ROOT:data/camvid}}'
# In the order of CamVid's ids.
classes = [
    'sky',
    'building',
    'pole',
    'road',
    'pavement',
    'tree',
    'sign',
    'fence',
    'car',
    'pedestrian',
    'bicyclist',
]
# GTA5's ids, as minitown has them, joined as CamVid's 32 classes were to 11.
source_labels = dict(
    type='LoadLabelsByName',
    classes=classes,
    ids={
        'road': 7,
        'sidewalk': 8,
        'building': 11,
        'wall': 12,
        'fence': 13,
        'pole': 17,
        'traffic light': 19,
        'traffic sign': 20,
        'vegetation': 21,
        'terrain': 22,
        'sky': 23,
        'person': 24,
        'rider': 25,
        'car': 26,
        'truck': 27,
        'bus': 28,
        'train': 31,
        'motorcycle': 32,
        'bicycle': 33,
    },
    merge={
        'sidewalk': 'pavement',
        'wall': 'building',
        'traffic light': 'sign',
        'traffic sign': 'sign',
        'vegetation': 'tree',
        'terrain': 'tree',
        'person': 'pedestrian',
        'rider': 'bicyclist',
        'bicycle': 'bicyclist',
        'motorcycle': 'bicyclist',
        'truck': 'car',
        'bus': 'car',
        'train': 'car',
    },
    void_ids=[0],
)
target_labels = dict(
    type='LoadLabelsByName',
    classes=classes,
    ids={name: number for number, name in enumerate(classes)},
    void_ids=[11],
)
resize = dict(type='Resize', scale=(320, 240), keep_ratio=True)
augmentation = [
    dict(
        type='RandomResizeCrop',
        scale=(320, 240),
        ratio_range=(1.0, 1.5),
        crop_size=(240, 320),
    ),
    dict(type='RandomFlip', prob=0.5),
]
drawn = dict(
    type='BaseSegDataset',
    data_root=source_root + 'gta',
    data_prefix=dict(img_path='images', seg_map_path='labels'),
    img_suffix='.png',
    metainfo=dict(classes=classes),
)
source = dict(
    **drawn,
    pipeline=[
        dict(type='LoadImageOnDemand'),
        source_labels,
        *augmentation,
        dict(type='PackSegInputs'),
    ],
)
source_no_aug = dict(
    **drawn,
    pipeline=[
        dict(type='LoadImageFromFile'),
        source_labels,
        dict(type='PackSegInputs'),
    ],
)
# As adaptation sees it: no step of the pipeline opens a label.
target_dataset = dict(
    type='BaseSegDataset',
    data_root=target_root,
    data_prefix=dict(img_path='images/train'),
    img_suffix='.jpg',
    metainfo=dict(classes=classes),
    pipeline=[
        dict(type='LoadImageOnDemand'),
        *augmentation,
        dict(type='PackSegInputs'),
    ],
)
# As the oracle sees it.
target_labelled = dict(
    type='BaseSegDataset',
    data_root=target_root,
    data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
    img_suffix='.jpg',
    seg_map_suffix='.png',
    metainfo=dict(classes=classes),
    pipeline=[
        dict(type='LoadImageOnDemand'),
        target_labels,
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
        type='BaseSegDataset',
        data_root=target_root,
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
        img_suffix='.jpg',
        seg_map_suffix='.png',
        metainfo=dict(classes=classes),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            resize,
            # After it: predictions are compared at the labels' own size.
            target_labels,
            dict(type='PackSegInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
# An image alone, as mmseg.apis.inference_model has it.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    resize,
    dict(type='PackSegInputs'),
]
val_evaluator = dict(type='UDAIoUMetric')
test_evaluator = val_evaluator
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# Rare class sampling: `train_dataloader = _base_.rare_classes`.
# Sign, car, pedestrian, bicyclist.
things = [6, 8, 9, 10]
rare_classes = dict(
    sampler=dict(orders=dict(source=dict(type='RareClassOrder'))),
    dataset=dict(
        domains=dict(
            source=dict(
                pipeline=[
                    dict(type='LoadImageOnDemand'),
                    source_labels,
                    dict(type='RedrawCrop', transforms=augmentation),
                    dict(type='FindThings', things=things),
                    dict(type='PackMarkedSegInputs'),
                ]
            ),
        ),
    ),
)

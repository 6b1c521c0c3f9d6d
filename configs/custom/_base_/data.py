# Your data: folders, classes, sizes. Docs: docs/own_data.md.
#
# data/sim/images/**/*.png    labelled images, the source
# data/sim/labels/**/*.png    their labels, of the same names and sizes
# data/real/train/**/*.png    images of the target, unlabelled
# data/real/val/**/*.png      images of the target to evaluate on
# data/real/labels/**/*.png   their labels, which no training opens
# data/real/train_labels/**   labels of a few of train (docs/labels.md), if any
#
# The classes that are trained. All the rest follows from this list.
classes = ['road', 'building', 'vegetation', 'sky', 'vehicle']
# What the label files say, each class by its id in them. A class of the same
# name is trained; merge takes others in; those left over are ignored.
source_labels = dict(
    type='LoadLabelsByName',
    classes=classes,
    ids={
        'road': 1,
        'pavement': 2,
        'building': 3,
        'vegetation': 4,
        'sky': 5,
        'car': 6,
        'truck': 7,
    },
    merge={'pavement': 'road', 'car': 'vehicle', 'truck': 'vehicle'},
    void_ids=[0],  # any other id stops the run
)
target_labels = dict(
    type='LoadLabelsByName',
    classes=classes,
    ids={
        'vehicle': 1000,
        'road': 2000,
        'building': 3000,
        'vegetation': 4000,
        'sky': 5000,
        'person': 6000,  # is not trained, so it is ignored
    },
    void_ids=[65535],
)
# Width and height that images are fitted into, keeping their proportions.
image_size = (1280, 720)
# Height and width of what a network sees in training.
crop_size = (512, 512)
# Crops of images that are smaller are padded to that size.
padding = dict(size=crop_size, size_divisor=None)

resize = dict(type='Resize', scale=image_size, keep_ratio=True)
augmentation = [
    dict(
        type='RandomResizeCrop',
        scale=image_size,
        ratio_range=(0.75, 1.5),
        crop_size=crop_size,
    ),
    dict(type='RandomFlip', prob=0.5),
]
images = dict(
    type='BaseSegDataset',
    data_root='data/sim',
    data_prefix=dict(img_path='images', seg_map_path='labels'),
    img_suffix='.png',  # or .jpg, .jpeg
    seg_map_suffix='.png',
    metainfo=dict(classes=classes),
)
source = dict(
    **images,
    pipeline=[
        dict(type='LoadImageOnDemand'),
        source_labels,
        *augmentation,
        dict(type='PackSegInputs'),
    ],
)
source_no_aug = dict(
    **images,
    pipeline=[
        dict(type='LoadImageFromFile'),
        source_labels,
        resize,
        dict(type='PackSegInputs'),
    ],
)
# As adaptation sees it: no step of the pipeline opens a label.
target_dataset = dict(
    type='BaseSegDataset',
    data_root='data/real',
    data_prefix=dict(img_path='train'),
    img_suffix='.png',
    metainfo=dict(classes=classes),
    pipeline=[
        dict(type='LoadImageOnDemand'),
        *augmentation,
        dict(type='PackSegInputs'),
    ],
)
# Those of them that have a label, for few_labels.py alone.
target_labelled = dict(
    type='BaseSegDataset',
    data_root='data/real',
    data_prefix=dict(img_path='train', seg_map_path='train_labels'),
    img_suffix='.png',
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
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='UDASampler'),
    dataset=dict(
        type='UDADataset',
        domains=dict(source=source, target=target_dataset),
    ),
)
# Rare class sampling: `train_dataloader = _base_.rare_classes`.
rare_classes = dict(
    sampler=dict(orders=dict(source=dict(type='RareClassOrder'))),
    dataset=dict(
        domains=dict(
            source=dict(
                pipeline=[
                    dict(type='LoadImageOnDemand'),
                    source_labels,
                    dict(type='RedrawCrop', transforms=augmentation),
                    dict(type='PackSegInputs'),
                ]
            ),
        ),
    ),
)
# For training on the source alone.
source_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=source,
)
anchor_dataloader = dict(
    batch_size=1,  # images may differ in their proportions
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=source_no_aug,
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset',
        data_root='data/real',
        data_prefix=dict(img_path='val', seg_map_path='labels'),
        img_suffix='.png',
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

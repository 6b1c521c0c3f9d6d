# The embedded pair of towns: source in GTA5's form, target in Cityscapes'.
data_root = '{{$MINITOWN_ROOT:data/minitown}}/'
crop_size = (128, 256)

augmentation = [
    dict(
        type='RandomResize',
        scale=(256, 128),
        ratio_range=(1.0, 1.5),
        keep_ratio=True,
    ),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=1.0),
    dict(type='RandomFlip', prob=0.5),
]
source_train = dict(
    type='GTADataset',
    data_root=data_root + 'gta',
    data_prefix=dict(img_path='images', seg_map_path='labels'),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='gta'),
        *augmentation,
        dict(type='PackSegInputs'),
    ],
)
# As the anchors see it: no augmentation.
source_plain = dict(
    type='GTADataset',
    data_root=data_root + 'gta',
    data_prefix=dict(img_path='images', seg_map_path='labels'),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='gta'),
        dict(type='PackSegInputs'),
    ],
)
# As adaptation sees it: no step of the pipeline opens a label.
target_train = dict(
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

# Cityscapes as the target, in its publisher's layout, and the augmentation of
# CAG's release: width 2200 U(0.5, 1.5), crop 896 x 512, flip.
crop_size = (512, 896)
augmentation = [
    dict(
        type='RandomResize',
        scale=(2200, 2200),  # the longer side binds: the width
        ratio_range=(0.5, 1.5),
        keep_ratio=True,
    ),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=1.0),
    dict(type='RandomFlip', prob=0.5),
]
# As adaptation sees it: no step of the pipeline opens a label.
target_train = dict(
    type='CityscapesDataset',
    data_root='{{$CITYSCAPES_ROOT:data/cityscapes}}',
    data_prefix=dict(img_path='leftImg8bit/train'),
    pipeline=[
        dict(type='LoadImageFromFile'),
        *augmentation,
        dict(type='PackSegInputs'),
    ],
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CityscapesDataset',
        data_root='{{$CITYSCAPES_ROOT:data/cityscapes}}',
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
val_evaluator = dict(type='UDAIoUMetric')
test_evaluator = val_evaluator

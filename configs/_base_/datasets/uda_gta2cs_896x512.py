# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# GTA5 -> Cityscapes, each in the layout of its publisher, augmented as in
# CAG's release: width 2200 U(0.5, 1.5), crop 896 x 512, flip.
#
# Where decoded files are kept; nowhere unless asked for (docs/input_speed.md).
cache_dir = '{{$INPUT_CACHE:off}}'
# Some frames of GTA5 differ in size.
frame_size = (1914, 1052)
resize_crop = dict(
    type='RandomResizeCrop',
    scale=(2200, 2200),  # the longer side binds: the width
    ratio_range=(0.5, 1.5),
    crop_size=(512, 896),
)
flip = dict(type='RandomFlip', prob=0.5)
gta = dict(
    type='GTADataset',
    data_root='{{$GTA_ROOT:data/gta}}',
    data_prefix=dict(img_path='images', seg_map_path='labels'),
)
source = dict(
    **gta,
    pipeline=[
        dict(type='LoadImageOnDemand', cache_dir=cache_dir),
        dict(type='LoadLabelIds', ids='gta', cache_dir=cache_dir),
        dict(**resize_crop, frame_size=frame_size),
        flip,
        dict(type='PackSegInputs'),
    ],
)
source_no_aug = dict(
    **gta,
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='gta'),
        dict(
            type='Resize',
            scale=frame_size,
            keep_ratio=False,
            backend='pillow',
        ),
        dict(type='PackSegInputs'),
    ],
)
# As adaptation sees it: no step of the pipeline opens a label.
target_dataset = dict(
    type='CityscapesDataset',
    data_root='{{$CITYSCAPES_ROOT:data/cityscapes}}',
    data_prefix=dict(img_path='leftImg8bit/train'),
    pipeline=[
        dict(type='LoadImageOnDemand', cache_dir=cache_dir),
        resize_crop,
        flip,
        dict(type='PackSegInputs'),
    ],
)
# The batch that the learning rates are for.
auto_scale_lr = dict(enable=False, base_batch_size=4)
train_dataloader = dict(
    batch_size=4,
    num_workers=6,
    persistent_workers=True,
    sampler=dict(type='UDASampler'),
    dataset=dict(
        type='UDADataset',
        domains=dict(source=source, target=target_dataset),
    ),
)
# For training on labelled images alone, in the place of train_dataloader.
source_dataloader = dict(
    batch_size=4,
    num_workers=6,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=source,
)
anchor_dataloader = dict(
    batch_size=4,
    num_workers=6,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=source_no_aug,
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
# An image alone, as mmseg.apis.inference_model has it.
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
val_evaluator = dict(type='UDAIoUMetric')
test_evaluator = val_evaluator
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

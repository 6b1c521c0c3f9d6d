# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Cityscapes -> Dark Zurich, each in the layout of its publisher, augmented as
# uda_gta2cs_896x512.py does.
_base_ = './uda_gta2cs_896x512.py'
cityscapes = dict(
    type='CityscapesDataset',
    data_root='{{$CITYSCAPES_ROOT:data/cityscapes}}',
    data_prefix=dict(
        img_path='leftImg8bit/train', seg_map_path='gtFine/train'
    ),
    seg_map_suffix='_gtFine_labelIds.png',
)
dark_zurich = dict(
    type='DarkZurichDataset',
    data_root='{{$DARK_ZURICH_ROOT:data/dark_zurich}}',
)
load_image = dict(type='LoadImageOnDemand', cache_dir=_base_.cache_dir)
load_labels = dict(type='LoadLabelIds', ids='cityscapes')
source = dict(
    _delete_=True,
    **cityscapes,
    pipeline=[
        load_image,
        dict(**load_labels, cache_dir=_base_.cache_dir),
        _base_.resize_crop,
        _base_.flip,
        dict(type='PackSegInputs'),
    ],
)
source_no_aug = dict(
    _delete_=True,
    **cityscapes,
    pipeline=[
        dict(type='LoadImageFromFile'),
        load_labels,
        dict(type='PackSegInputs'),
    ],
)
# As adaptation sees it: no step of the pipeline opens a label.
target_dataset = dict(
    _delete_=True,
    **dark_zurich,
    data_prefix=dict(img_path='rgb_anon/train/night'),
    pipeline=[
        load_image,
        _base_.resize_crop,
        _base_.flip,
        dict(type='PackSegInputs'),
    ],
)
train_dataloader = dict(
    dataset=dict(domains=dict(source=source, target=target_dataset))
)
source_dataloader = dict(dataset=source)
anchor_dataloader = dict(dataset=source_no_aug)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **dark_zurich,
        data_prefix=dict(
            img_path='rgb_anon/val/night', seg_map_path='gt/val/night'
        ),
        seg_map_suffix='_gt_labelIds.png',
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            load_labels,
            dict(type='PackSegInputs'),
        ],
    )
)
test_dataloader = val_dataloader

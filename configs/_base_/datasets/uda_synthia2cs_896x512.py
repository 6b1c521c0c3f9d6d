# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# SYNTHIA-RAND-CITYSCAPES -> Cityscapes, augmented as in CAG's release.
_base_ = './uda_gta2cs_896x512.py'
synthia = dict(
    type='SYNTHIADataset',
    data_root='{{$SYNTHIA_ROOT:data/synthia}}',
    data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
)
source = dict(
    **synthia,
    pipeline=[
        dict(type='LoadImageOnDemand', cache_dir=_base_.cache_dir),
        dict(type='LoadLabelIds', ids='synthia', cache_dir=_base_.cache_dir),
        _base_.resize_crop,
        _base_.flip,
        dict(type='PackSegInputs'),
    ],
)
source_no_aug = dict(
    **synthia,
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadLabelIds', ids='synthia'),
        dict(type='PackSegInputs'),
    ],
)
train_dataloader = dict(dataset=dict(domains=dict(source=source)))
source_dataloader = dict(dataset=source)
anchor_dataloader = dict(dataset=source_no_aug)
# What is reported of SYNTHIA beside the mean over all 19 classes: it has no
# terrain, truck and train; 13 leave out wall, fence and pole as well.
val_evaluator = dict(
    class_sets=dict(
        mIoU16=[
            'road',
            'sidewalk',
            'building',
            'wall',
            'fence',
            'pole',
            'traffic light',
            'traffic sign',
            'vegetation',
            'sky',
            'person',
            'rider',
            'car',
            'bus',
            'motorcycle',
            'bicycle',
        ],
        mIoU13=[
            'road',
            'sidewalk',
            'building',
            'traffic light',
            'traffic sign',
            'vegetation',
            'sky',
            'person',
            'rider',
            'car',
            'bus',
            'motorcycle',
            'bicycle',
        ],
    )
)
test_evaluator = val_evaluator

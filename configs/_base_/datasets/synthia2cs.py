# SYNTHIA-RAND-CITYSCAPES -> Cityscapes, each in its publisher's layout.
_base_ = './cityscapes_target.py'
source = dict(
    type='SYNTHIADataset',
    data_root='{{$SYNTHIA_ROOT:data/synthia}}',
    data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
)
# Whole frames, for steps other than RandomResizeCrop.
source_labels = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadLabelIds', ids='synthia'),
]
source_train = dict(
    **source,
    pipeline=[
        dict(type='LoadImageOnDemand', cache_dir=_base_.cache_dir),
        dict(type='LoadLabelIds', ids='synthia', cache_dir=_base_.cache_dir),
        _base_.resize_crop,
        _base_.flip,
        dict(type='PackSegInputs'),
    ],
)
# As the anchors see it: no augmentation.
source_plain = dict(
    **source,
    pipeline=[
        *source_labels,
        dict(type='PackSegInputs'),
    ],
)
# What is reported of SYNTHIA beside the mean over all 19 classes: it has no
# terrain, truck and train; 13 leave out wall, fence and pole as well.
class_sets = dict(
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
val_evaluator = dict(class_sets=class_sets)
test_evaluator = val_evaluator

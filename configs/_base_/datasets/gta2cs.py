# GTA5 -> Cityscapes, each in the layout of its publisher.
_base_ = './cityscapes_target.py'
source = dict(
    type='GTADataset',
    data_root='{{$GTA_ROOT:data/gta}}',
    data_prefix=dict(img_path='images', seg_map_path='labels'),
)
# Whole frames, for steps other than RandomResizeCrop.
source_labels = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadLabelIds', ids='gta'),
]
# Some frames of GTA5 differ in size.
frame_size = (1914, 1052)
source_train = dict(
    **source,
    pipeline=[
        dict(type='LoadImageOnDemand', cache_dir=_base_.cache_dir),
        dict(type='LoadLabelIds', ids='gta', cache_dir=_base_.cache_dir),
        dict(**_base_.resize_crop, frame_size=frame_size),
        _base_.flip,
        dict(type='PackSegInputs'),
    ],
)
# As the anchors see it: no augmentation.
source_plain = dict(
    **source,
    pipeline=[
        *source_labels,
        dict(
            type='Resize',
            scale=frame_size,
            keep_ratio=False,
            backend='pillow',
        ),
        dict(type='PackSegInputs'),
    ],
)

# GTA5 -> Cityscapes, each in the layout of its publisher.
_base_ = './cityscapes_target.py'
source = dict(
    type='GTADataset',
    data_root='{{$GTA_ROOT:data/gta}}',
    data_prefix=dict(img_path='images', seg_map_path='labels'),
)
source_labels = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadLabelIds', ids='gta'),
]
# Some frames of GTA5 differ in size.
source_size = dict(type='Resize', scale=(1914, 1052), keep_ratio=False)
source_train = dict(
    **source,
    pipeline=[
        *source_labels,
        source_size,
        *_base_.augmentation,
        dict(type='PackSegInputs'),
    ],
)
# As the anchors see it: no augmentation.
source_plain = dict(
    **source,
    pipeline=[*source_labels, source_size, dict(type='PackSegInputs')],
)

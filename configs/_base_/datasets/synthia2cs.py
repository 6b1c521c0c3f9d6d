# SYNTHIA-RAND-CITYSCAPES -> Cityscapes, each in its publisher's layout.
_base_ = './cityscapes_target.py'
source = dict(
    type='SYNTHIADataset',
    data_root='data/synthia',
    data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
)
source_labels = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadLabelIds', ids='synthia'),
]
source_train = dict(
    **source,
    pipeline=[
        *source_labels,
        *_base_.augmentation,
        dict(type='PackSegInputs'),
    ],
)
# As the anchors see it: no augmentation.
source_plain = dict(
    **source,
    pipeline=[*source_labels, dict(type='PackSegInputs')],
)

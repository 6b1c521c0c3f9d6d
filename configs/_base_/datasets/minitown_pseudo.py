# minitown, and its target with labels that a network has given it.
_base_ = './minitown.py'
target_pseudo = dict(
    type='CityscapesDataset',
    data_root=_base_.data_root + 'cityscapes',
    # As tools/make_pseudo_labels.py has written them, relative to data_root.
    data_prefix=dict(
        img_path='leftImg8bit/train', seg_map_path='pseudo_labels'
    ),
    seg_map_suffix='_leftImg8bit.png',
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadPseudoLabels'),
        *_base_.augmentation,
        dict(type='PackPseudoSegInputs'),
    ],
)

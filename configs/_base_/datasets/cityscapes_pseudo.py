# Cityscapes as the target with labels that a network has given it, at the
# size of AdaptSegNet, CLAN and BDL; goes with gta2cs.py or synthia2cs.py.
target_pseudo = dict(
    type='CityscapesDataset',
    data_root='{{$CITYSCAPES_ROOT:data/cityscapes}}',
    # As tools/make_pseudo_labels.py has written them, relative to data_root.
    data_prefix=dict(
        img_path='leftImg8bit/train', seg_map_path='pseudo_labels'
    ),
    seg_map_suffix='_leftImg8bit.png',
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(
            type='Resize',
            scale=(1024, 512),
            interpolation='bicubic',
            backend='pillow',
        ),
        dict(type='LoadPseudoLabels'),
        dict(type='PackPseudoSegInputs'),
    ],
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL on minitown, with pseudo labels or without.
_base_ = './adversarial_minitown.py'
bdl = dict(_base_.adaptsegnet, type='BDLSegmentor')
source_translated = dict(
    _base_.source_train,
    # As tools/translate.py writes them, or of your own; relative to data_root
    # or absolute.
    data_prefix=dict(img_path='translated', seg_map_path='labels'),
    pipeline=[
        dict(type='LoadTranslatedImage'),
        dict(type='LoadLabelIds', ids='gta'),
        *_base_.augmentation,
        dict(type='PackSegInputs'),
    ],
)
target_pseudo = dict(
    _base_.target_train,
    # As tools/make_pseudo_labels.py writes them, relative to data_root.
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
train_dataloader = dict(
    dataset=dict(source=dict(_delete_=True, **source_translated))
)

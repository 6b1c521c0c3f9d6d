# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# GTA5 in the style of Cityscapes -> Cityscapes, with pseudo labels or none.
_base_ = ['./dlv2_gta2cs.py', './cityscapes_pseudo.py']
source_translated = dict(
    type='GTADataset',
    data_root='{{$GTA_ROOT:data/gta}}',
    # As tools/translate.py writes them, or of your own; relative to data_root
    # or absolute.
    data_prefix=dict(
        img_path='{{$GTA_TRANSLATED:translated}}', seg_map_path='labels'
    ),
    pipeline=[
        dict(type='LoadTranslatedImage'),
        dict(type='LoadLabelIds', ids='gta'),
        dict(**_base_.dlv2_resize, scale=(1280, 720)),
        dict(type='PackSegInputs'),
    ],
)

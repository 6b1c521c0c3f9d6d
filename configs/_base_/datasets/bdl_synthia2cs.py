# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# SYNTHIA in the style of Cityscapes -> Cityscapes, with pseudo labels or none.
_base_ = ['./dlv2_synthia2cs.py', './cityscapes_pseudo.py']
source_translated = dict(
    type='SYNTHIADataset',
    data_root='{{$SYNTHIA_ROOT:data/synthia}}',
    # As tools/translate.py writes them, or of your own; relative to data_root
    # or absolute.
    data_prefix=dict(
        img_path='{{$SYNTHIA_TRANSLATED:translated}}',
        seg_map_path='GT/LABELS',
    ),
    pipeline=[
        dict(type='LoadTranslatedImage'),
        dict(type='LoadLabelIds', ids='synthia'),
        dict(**_base_.dlv2_resize, scale=(1280, 760)),
        dict(type='PackSegInputs'),
    ],
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# SYNTHIA -> Cityscapes as BDL's translator has them.
_base_ = './translator_gta2cs.py'
source = dict(
    type='SYNTHIADataset',
    data_root='{{$SYNTHIA_ROOT:data/synthia}}',
    data_prefix=dict(img_path='RGB'),
)
train_dataloader = dict(dataset=dict(domains=dict(source=source)))
translate_dataloader = dict(dataset=source)

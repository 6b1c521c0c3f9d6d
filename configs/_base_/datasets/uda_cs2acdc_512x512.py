# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Cityscapes -> ACDC as DAFormer has them: as Dark Zurich.
_base_ = './uda_cs2dz_512x512.py'
acdc = dict(type='ACDCDataset', data_root='{{$ACDC_ROOT:data/acdc}}')
# As adaptation sees it: no step of the pipeline opens a label.
target_dataset = dict(
    **acdc, split='train', data_prefix=dict(img_path='rgb_anon')
)
train_dataloader = dict(dataset=dict(domains=dict(target=target_dataset)))
val_dataloader = dict(
    dataset=dict(
        **acdc,
        split='val',
        data_prefix=dict(img_path='rgb_anon', seg_map_path='gt'),
    )
)
test_dataloader = val_dataloader

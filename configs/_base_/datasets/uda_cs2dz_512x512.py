# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Cityscapes -> Dark Zurich as DAFormer has them.
_base_ = ['./uda_cs2dz.py', './half_size_pipelines.py']
load_resized = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadLabelIds', ids='cityscapes'),
    dict(type='Resize', scale=(1024, 512), keep_ratio=True),
]
source = dict(pipeline=[*load_resized, *_base_.cropped])
resize_target = dict(type='Resize', scale=(960, 540), keep_ratio=True)
target_dataset = dict(
    pipeline=[
        dict(type='LoadImageFromFile'),
        resize_target,
        _base_.crop_512,
        _base_.flip_512,
        dict(type='PackSegInputs'),
    ]
)
auto_scale_lr = dict(base_batch_size=2)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    dataset=dict(domains=dict(source=source, target=target_dataset)),
)
source_dataloader = dict(batch_size=2, num_workers=4, dataset=source)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            resize_target,
            # After the resize: predictions are compared at its own size.
            dict(type='LoadLabelIds', ids='cityscapes'),
            dict(type='PackSegInputs'),
        ]
    )
)
test_dataloader = val_dataloader
test_pipeline = [
    dict(type='LoadImageFromFile'),
    resize_target,
    dict(type='PackSegInputs'),
]
# Rare class sampling: `train_dataloader = _base_.rare_classes`. An image is
# drawn for classes with more than 3000 of its pixels.
rare = dict(type='RareClassOrder', min_share=3000 / (2048 * 1024))
rare_classes = dict(
    sampler=dict(orders=dict(source=rare)),
    dataset=dict(
        domains=dict(
            source=dict(pipeline=[*load_resized, *_base_.cropped_for_class]),
        ),
    ),
)

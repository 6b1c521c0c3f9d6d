# Cityscapes as the target, in its publisher's layout, and the augmentation of
# CAG's release: width 2200 U(0.5, 1.5), crop 896 x 512, flip.
crop_size = (512, 896)
# Where decoded files are kept; nowhere unless asked for (docs/input_speed.md).
cache_dir = '{{$INPUT_CACHE:off}}'
resize_crop = dict(
    type='RandomResizeCrop',
    scale=(2200, 2200),  # the longer side binds: the width
    ratio_range=(0.5, 1.5),
    crop_size=crop_size,
)
flip = dict(type='RandomFlip', prob=0.5)
# As adaptation sees it: no step of the pipeline opens a label.
target_train = dict(
    type='CityscapesDataset',
    data_root='{{$CITYSCAPES_ROOT:data/cityscapes}}',
    data_prefix=dict(img_path='leftImg8bit/train'),
    pipeline=[
        dict(type='LoadImageOnDemand', cache_dir=cache_dir),
        resize_crop,
        flip,
        dict(type='PackSegInputs'),
    ],
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CityscapesDataset',
        data_root='{{$CITYSCAPES_ROOT:data/cityscapes}}',
        data_prefix=dict(
            img_path='leftImg8bit/val', seg_map_path='gtFine/val'
        ),
        seg_map_suffix='_gtFine_labelIds.png',
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadLabelIds', ids='cityscapes'),
            dict(type='PackSegInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
# An image alone, as mmseg.apis.inference_model has it.
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
val_evaluator = dict(type='UDAIoUMetric')
test_evaluator = val_evaluator

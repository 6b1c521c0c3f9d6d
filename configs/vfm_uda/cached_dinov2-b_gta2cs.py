# VFM-UDA's head on maps of DINOv2-B that are kept on disk: 2,000 images of
# GTA5 as they are, at half of their size. The first epoch computes the maps.
_base_ = './frozen_dinov2-b_gta2cs.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='CachedEncoder',
        folder='work_dirs/features',
        half=True,
        encoder=dict(
            type='DINOv2',
            arch='base',
            resize=1.0,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='checkpoints/dinov2_vitb14_pretrain.pth',
            ),
        ),
    ),
    test_cfg=dict(_delete_=True, mode='whole'),
)
train_dataloader = dict(
    dataset=dict(
        indices=2000,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadLabelIds', ids='gta'),
            dict(type='Resize', scale=(938, 518), keep_ratio=False),
            dict(type='PackSegInputs'),
        ],
    )
)
halved = dict(type='Resize', scale=(1036, 518), keep_ratio=False)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            halved,
            dict(type='LoadLabelIds', ids='cityscapes'),
            dict(type='PackSegInputs'),
        ]
    )
)
test_dataloader = val_dataloader
test_pipeline = [
    dict(type='LoadImageFromFile'),
    halved,
    dict(type='PackSegInputs'),
]
max_iters = 2500  # ten epochs
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 5)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-5 * 8**0.5, weight_decay=0.01),
)
param_scheduler = [
    dict(
        type='PolyRestartLR',
        by_epoch=False,
        power=1.0,
        warmup_iters=100,
        warmup_from=0.001,
    )
]

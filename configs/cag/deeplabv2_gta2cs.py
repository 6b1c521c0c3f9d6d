# CAG-UDA on GTA5 -> Cityscapes as released, with DeepLab-V2 on ResNet-101.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/gta2cs.py',
    '../_base_/schedules/stages_cag.py',
    '../_base_/default_runtime.py',
]
# The warm-up: configs/source_only/deeplabv2_gta2cs.py
load_from = 'work_dirs/source_only/deeplabv2_gta2cs/iter_90000.pth'
model = dict(
    type='CAGSegmentor',
    data_preprocessor=dict(
        _delete_=True,
        type='UDADataPreprocessor',
        source=_base_.model.data_preprocessor,
        target=_base_.model.data_preprocessor,
    ),
    anchor_bank=dict(type='AnchorBank', level='image'),
    pseudo_label_head=dict(
        type='PseudoLabelHead',
        by=['anchor', 'probability'],
        margin=2.5,
        probability=0.95,
    ),
    pseudo_label_loss=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    anchor_loss=dict(
        type='AnchorDistanceLoss', level='centroid', loss_weight=0.7
    ),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=6,
    persistent_workers=True,
    sampler=dict(type='UDASampler'),
    dataset=dict(
        type='UDADataset',
        source=_base_.source_train,
        target=_base_.target_train,
    ),
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='LabelerHook', stage_iters=_base_.stage_iters),
    dict(
        type='AnchorHook',
        stage_iters=_base_.stage_iters,
        dataloader=dict(
            batch_size=4,
            num_workers=6,
            sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
            dataset=_base_.source_plain,
        ),
    ),
]

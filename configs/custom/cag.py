# CAG-UDA from the network of source_only.py, with unlabelled target images.
_base_ = [
    './_base_/data.py',
    './_base_/stages.py',
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/default_runtime.py',
]
# Trained first, unless its result is there.
start_from = '{{ fileDirname }}/source_only.py'
model = dict(
    type='CAGSegmentor',
    decode_head=dict(num_classes=len(_base_.classes)),
    norm_eval=True,
    anchor_bank=dict(type='AnchorBank', level='pixel'),
    pseudo_label_head=dict(
        type='PseudoLabelHead', by=['anchor'], margin='auto', precision=0.95
    ),
    pseudo_label_loss=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    anchor_loss=dict(
        type='AnchorDistanceLoss', level='pixel', loss_weight=0.05
    ),
)
auto_scale_lr = dict(enable=False, base_batch_size=4)
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
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
    dict(
        type='AnchorHook',
        dataloader=dict(
            batch_size=1,  # images may differ in their proportions
            num_workers=4,
            sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
            dataset=_base_.source_plain,
        ),
    ),
]
default_hooks = dict(checkpoint=dict(max_keep_ckpts=-1))

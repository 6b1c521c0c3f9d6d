# CAG-UDA on minitown, three stages in one run, for any network.
_base_ = [
    '../datasets/minitown.py',
    '../schedules/stages_minitown.py',
    '../default_runtime.py',
]
cag = dict(
    type='CAGSegmentor',
    # Source-only's statistics in both domains: the frozen labeler sees the
    # target through the same ones.
    norm_eval=True,
    anchor_bank=dict(type='AnchorBank', level='pixel'),
    # The release's 2.5 suits its network; here the source chooses.
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
    num_workers=1,
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
            batch_size=10,
            num_workers=1,
            sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
            dataset=_base_.source_plain,
        ),
    ),
]
default_hooks = dict(
    # Steps are slow where there is no GPU: a line every few seconds.
    logger=dict(interval=10),
    checkpoint=dict(interval=_base_.stage_iters // 2, max_keep_ckpts=-1),
    monitor=dict(interval=10),
    panels=dict(interval=50),
)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# CAG-UDA as released, for any network and pair of domains, in three stages.
# A config says which of the three models: `model = _base_.cag`.
_base_ = '../default_runtime.py'
cag = dict(
    type='CAGSegmentor',
    # The weights are those of load_from, the warm-up.
    backbone=dict(init_cfg=None),
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
# For features of another scale than the released network's.
cag_auto_margin = dict(
    cag, pseudo_label_head=dict(cag['pseudo_label_head'], margin='auto')
)
# For small networks and short runs: minitown and configs/custom.
cag_small = dict(
    cag,
    backbone=dict(),
    # Source-only's statistics in both domains: the frozen teacher sees the
    # target through the same ones.
    norm_eval=True,
    anchor_bank=dict(type='AnchorBank', level='pixel'),
    # The release's 2.5 suits its network; here the source chooses.
    pseudo_label_head=dict(
        type='PseudoLabelHead', by=['anchor'], margin='auto', precision=0.95
    ),
    anchor_loss=dict(
        type='AnchorDistanceLoss', level='pixel', loss_weight=0.05
    ),
)
# 84 passes over Cityscapes at batch 4; a rate that would be 0 after 90,000.
train_cfg = dict(
    type='StageTrainLoop',
    stages=3,
    stage_iters=62412,
    vals_per_stage=12,
    saves_per_stage=6,
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-4, momentum=0.9, weight_decay=2e-4),
)
param_scheduler = [
    dict(type='PolyRestartLR', by_epoch=False, decay_iters=90000, power=0.9)
]
default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=-1),
    anchors=dict(type='AnchorHook'),
)

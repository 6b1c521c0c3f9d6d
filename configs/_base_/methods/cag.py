# CAG-UDA as released, for any network and pair of domains. A config says
# `model = dict(**_base_.cag, ...)` beside the base of its network.
_base_ = ['../schedules/stages_cag.py', '../default_runtime.py']
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
cag_auto = dict(
    cag, pseudo_label_head=dict(cag['pseudo_label_head'], margin='auto')
)
auto_scale_lr = dict(enable=False, base_batch_size=4)
train_dataloader = dict(
    batch_size=4,
    num_workers=6,
    persistent_workers=True,
    sampler=dict(type='UDASampler'),
    dataset=dict(type='UDADataset'),
)
anchor_dataloader = dict(
    batch_size=4,
    num_workers=6,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=-1))

# Adversarial methods on minitown, from the source-only network.
_base_ = [
    '../datasets/minitown.py',
    '../schedules/adversarial_minitown.py',
    '../default_runtime.py',
]
adaptsegnet = dict(
    type='AdversarialSegmentor',
    # Source-only's statistics in both domains, as in CAG.
    norm_eval=True,
    discriminator=dict(type='FCDiscriminator'),
    adversarial_loss=dict(type='AdversarialLoss'),
    adversarial_weights=[0.003],
    discriminator_weight=0.5,
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
custom_hooks = [*_base_.custom_hooks, dict(type='DiscriminatorHook')]
default_hooks = dict(
    # Steps are slow where there is no GPU: a line every few seconds.
    logger=dict(interval=10),
    checkpoint=dict(interval=_base_.stage_iters // 2, max_keep_ckpts=-1),
    monitor=dict(interval=10),
    panels=dict(interval=50),
)

# Training on minitown's labelled source images alone, for any network.
_base_ = [
    '../datasets/minitown.py',
    '../schedules/supervised_minitown.py',
    '../default_runtime.py',
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=_base_.source_train,
)
default_hooks = dict(
    # Steps are slow where there is no GPU: a line every few seconds.
    logger=dict(interval=10),
    checkpoint=dict(interval=_base_.max_iters // 3, max_keep_ckpts=-1),
)

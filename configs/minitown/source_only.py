# Trained on labelled source images alone: where adaptation starts from.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/minitown.py',
    '../_base_/schedules/supervised_minitown.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=_base_.source_train,
)
default_hooks = dict(
    checkpoint=dict(interval=_base_.max_iters // 3, max_keep_ckpts=-1)
)

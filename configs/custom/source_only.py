# Your labelled images alone: where adaptation starts from.
_base_ = [
    './_base_/data.py',
    './_base_/supervised.py',
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(num_classes=len(_base_.classes)))
auto_scale_lr = dict(enable=False, base_batch_size=8)
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=_base_.source_train,
)
default_hooks = dict(
    checkpoint=dict(interval=max(1, _base_.max_iters // 10), max_keep_ckpts=-1)
)

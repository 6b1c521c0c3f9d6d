# Your labelled images alone: where adaptation starts from.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    './_base_/data.py',
    './_base_/supervised.py',
]
model = dict(
    data_preprocessor=_base_.padding,
    decode_head=dict(num_classes=len(_base_.classes)),
)
auto_scale_lr = dict(base_batch_size=8)
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

# Source-only where some classes of the target have no labels.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/uda_minitown_open.py',
    '../_base_/methods/source_only_minitown.py',
]
auto_scale_lr = dict(base_batch_size=8)
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

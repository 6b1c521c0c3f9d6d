# Trained on the labels of two towns: where adaptation to the target starts.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/uda_minitown_third.py',
    '../_base_/methods/source_only_minitown.py',
]
model = dict(type='SupervisedSegmentor')
auto_scale_lr = dict(base_batch_size=8)
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

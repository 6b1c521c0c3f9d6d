# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Trained on a few labels of the target, and nothing else.
_base_ = [
    '../_base_/models/segformer_effnet-lite0_11.py',
    '../_base_/datasets/few_labels_real_streets.py',
    '../_base_/methods/source_only_minitown.py',
]
model = dict(type='SupervisedSegmentor')
auto_scale_lr = dict(base_batch_size=8)
train_dataloader = dict(_delete_=True, **_base_.labels_alone)

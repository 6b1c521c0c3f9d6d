# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Trained on drawn images alone: where adaptation starts from.
_base_ = [
    '../_base_/models/segformer_effnet-lite0_11.py',
    '../_base_/datasets/uda_real_streets.py',
    '../_base_/methods/source_only_minitown.py',
]
auto_scale_lr = dict(base_batch_size=8)
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

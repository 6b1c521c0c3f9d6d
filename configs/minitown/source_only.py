# Trained on labelled source images alone: where adaptation starts from.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/uda_minitown.py',
    '../_base_/methods/source_only_minitown.py',
]
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

# Source-only on MobileNetV2, of another family than EfficientNet-Lite.
_base_ = [
    '../_base_/models/fpn_mobilenet-v2.py',
    '../_base_/datasets/uda_minitown.py',
    '../_base_/methods/source_only_minitown.py',
]
auto_scale_lr = dict(base_batch_size=8)
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

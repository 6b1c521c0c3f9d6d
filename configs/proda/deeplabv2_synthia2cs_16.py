# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# ProDA's denoising stage on SYNTHIA -> Cityscapes, as released: only the 16
# classes of SYNTHIA exist.
_base_ = './deeplabv2_synthia2cs.py'
start_from = (
    '{{ fileDirname }}/../adaptsegnet/deeplabv2_warmup_synthia2cs_16.py'
)
domain = dict(metainfo=dict(classes=_base_.val_evaluator.class_sets.mIoU16))
model = dict(decode_head=dict(num_classes=16))
train_dataloader = dict(
    dataset=dict(domains=dict(source=domain, target=domain))
)
anchor_dataloader = dict(dataset=domain)
val_dataloader = dict(dataset=domain)
test_dataloader = val_dataloader

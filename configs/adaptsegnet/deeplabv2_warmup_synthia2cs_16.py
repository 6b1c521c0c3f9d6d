# As deeplabv2_warmup_synthia2cs.py, where only SYNTHIA's 16 classes exist.
_base_ = './deeplabv2_warmup_synthia2cs.py'
metainfo = dict(classes=_base_.class_sets.mIoU16)
model = dict(decode_head=dict(num_classes=len(metainfo['classes'])))
domain = dict(metainfo=metainfo)
train_dataloader = dict(dataset=dict(source=domain, target=domain))
val_dataloader = dict(dataset=domain)
test_dataloader = val_dataloader

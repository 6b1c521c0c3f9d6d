# As deeplabv2_synthia2cs.py, where only the 16 classes of SYNTHIA exist.
_base_ = './deeplabv2_synthia2cs.py'
start_from = 'configs/adaptsegnet/deeplabv2_warmup_synthia2cs_16.py'
metainfo = dict(classes=_base_.class_sets.mIoU16)
model = dict(decode_head=dict(num_classes=len(metainfo['classes'])))
domain = dict(metainfo=metainfo)
train_dataloader = dict(dataset=dict(source=domain, target=domain))
val_dataloader = dict(dataset=domain)
test_dataloader = val_dataloader
custom_hooks = _base_.custom_hooks
custom_hooks[-1].dataloader.dataset.metainfo = metainfo

# As deeplabv2_synthia2cs.py, where only the 16 classes of SYNTHIA exist.
_base_ = './deeplabv2_synthia2cs.py'
metainfo = dict(classes=_base_.class_sets.mIoU16)
model = dict(decode_head=dict(num_classes=len(metainfo['classes'])))
train_dataloader = dict(dataset=dict(metainfo=metainfo))
val_dataloader = dict(dataset=dict(metainfo=metainfo))
test_dataloader = val_dataloader

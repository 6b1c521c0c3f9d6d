# AdaptSegNet on GTA5 -> Cityscapes.
_base_ = ['../datasets/dlv2_gta2cs.py', './adaptsegnet.py']
train_dataloader = dict(
    dataset=dict(source=_base_.source_train, target=_base_.target_train)
)

# ProDA's adversarial warm-up on GTA5 -> Cityscapes, on the images of CAG.
_base_ = ['../datasets/gta2cs.py', './adversarial_warmup.py']
train_dataloader = dict(
    dataset=dict(source=_base_.source_train, target=_base_.target_train)
)

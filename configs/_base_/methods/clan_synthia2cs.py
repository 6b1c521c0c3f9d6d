# CLAN on SYNTHIA -> Cityscapes.
_base_ = ['../datasets/clan_synthia2cs.py', './clan.py']
train_dataloader = dict(
    dataset=dict(source=_base_.source_train, target=_base_.target_train)
)

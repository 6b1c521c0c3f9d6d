# CLAN on GTA5 -> Cityscapes.
_base_ = ['../datasets/clan_gta2cs.py', './clan.py']
train_dataloader = dict(
    dataset=dict(source=_base_.source_train, target=_base_.target_train)
)

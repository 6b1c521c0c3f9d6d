# DeepLab-V2 trained on GTA5 alone: where CAG's stages start from.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/datasets/gta2cs.py',
    '../_base_/schedules/supervised_cag.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(
    batch_size=4,
    num_workers=6,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=_base_.source_train,
)

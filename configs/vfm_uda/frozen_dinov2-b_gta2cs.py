# VFM-UDA's head alone, on an encoder that is not trained.
_base_ = [
    '../_base_/models/vfmuda_dinov2-b.py',
    '../_base_/datasets/uda_gta2cs_vfm.py',
    '../_base_/methods/source_only_vfm.py',
]
model = dict(backbone=dict(frozen_stages='all'))
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

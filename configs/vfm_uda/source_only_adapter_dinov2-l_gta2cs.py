# VFM-UDA++'s network trained on GTA5 alone.
_base_ = [
    '../_base_/models/vfmudaplus_dinov2-l.py',
    '../_base_/datasets/uda_gta2cs_vfm.py',
    '../_base_/methods/source_only_vfm.py',
]
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

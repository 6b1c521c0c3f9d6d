# An ordinary head of mmseg on DINOv2-B, trained on GTA5 alone.
_base_ = [
    '../_base_/models/segformer_dinov2-b.py',
    '../_base_/datasets/uda_gta2cs_vfm.py',
    '../_base_/methods/source_only_vfm.py',
]
train_dataloader = dict(_delete_=True, **_base_.source_dataloader)

# CAG's stages 2 and 3 on Cityscapes from one file about GTA5, of
# tools/export_source_free.py at the end of stage 1.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/uda_gta2cs_896x512.py',
    '../_base_/methods/source_free.py',
]
load_from = 'work_dirs/cag/source_free_effnet-lite0.pth'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='UDADataset',
        domains=dict(target=_base_.target_dataset),
        labelled=[],
    ),
)
anchor_dataloader = None
model = dict(_base_.source_free, backbone=dict(pretrained=None))

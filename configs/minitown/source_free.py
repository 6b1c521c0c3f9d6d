# CAG's stages 2 and 3 from one file about the source, of
# tools/export_source_free.py at the end of stage 1.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/uda_minitown.py',
    '../_base_/methods/source_free_minitown.py',
]
load_from = 'work_dirs/minitown/source_free.pth'
# The run that the benchmark exports.
source_from = '{{ fileDirname }}/cag.py'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='UDADataset',
        domains=dict(target=_base_.target_dataset),
        labelled=[],
    ),
)
anchor_dataloader = None
model = _base_.source_free_small

# EfficientNet-Lite2 with CAG teaches Lite0 on target images alone.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/uda_minitown.py',
    '../_base_/methods/distill_minitown.py',
]
start_from = '{{ fileDirname }}/source_only.py'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='UDADataset',
        domains=dict(target=_base_.target_dataset),
        labelled=[],
    ),
)
model = dict(
    type='DistillSegmentor',
    distillation=dict(
        _base_.distillation,
        teacher=dict(
            config='{{ fileDirname }}/cag_lite2.py',
            checkpoint='work_dirs/minitown/cag_lite2/iter_450.pth',
        ),
    ),
)

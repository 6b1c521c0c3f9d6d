# MiT-B5 with anchors in a mean teacher teaches EfficientNet-Lite0, with GTA5's
# labels beside it.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/uda_gta2cs_512x512.py',
    '../_base_/methods/distill.py',
]
model = dict(
    type='DistillSegmentor',
    distillation=dict(
        _base_.distillation,
        teacher=dict(
            config='{{ fileDirname }}/../anchor_teacher/mit-b5_gta2cs.py',
            checkpoint='work_dirs/anchor_teacher/mit-b5_gta2cs/iter_40000.pth',
        ),
    ),
)

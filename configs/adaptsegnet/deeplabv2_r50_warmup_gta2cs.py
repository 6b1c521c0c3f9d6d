# As deeplabv2_warmup_gta2cs.py, on ResNet-50.
_base_ = './deeplabv2_warmup_gta2cs.py'
model = dict(
    backbone=dict(
        depth=50,
        init_cfg=dict(checkpoint='checkpoints/resnet50-0676ba61.pth'),
    )
)

# As deeplabv2_gta2cs.py, on ResNet-50.
_base_ = './deeplabv2_gta2cs.py'
load_from = 'work_dirs/source_only/deeplabv2_r50_gta2cs/iter_90000.pth'
model = dict(backbone=dict(depth=50))

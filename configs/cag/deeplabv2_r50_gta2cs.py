# As deeplabv2_gta2cs.py, on ResNet-50.
_base_ = './deeplabv2_gta2cs.py'
start_from = '{{ fileDirname }}/../adaptsegnet/deeplabv2_r50_warmup_gta2cs.py'
model = dict(backbone=dict(depth=50))

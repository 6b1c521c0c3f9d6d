# As deeplabv2_gta2cs.py, from the source-only network.
_base_ = './deeplabv2_gta2cs.py'
start_from = '{{ fileDirname }}/../source_only/deeplabv2_gta2cs.py'

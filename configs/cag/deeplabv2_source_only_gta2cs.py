# As deeplabv2_gta2cs.py, from the source-only network.
_base_ = './deeplabv2_gta2cs.py'
start_from = 'configs/source_only/deeplabv2_gta2cs.py'

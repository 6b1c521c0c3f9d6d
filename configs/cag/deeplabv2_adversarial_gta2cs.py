# As deeplabv2_gta2cs.py, from an adversarial warm-up.
_base_ = './deeplabv2_gta2cs.py'
start_from = 'configs/adaptsegnet/deeplabv2_warmup_gta2cs.py'

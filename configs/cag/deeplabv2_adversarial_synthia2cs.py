# As deeplabv2_synthia2cs.py, from an adversarial warm-up.
_base_ = './deeplabv2_synthia2cs.py'
start_from = 'configs/adaptsegnet/deeplabv2_warmup_synthia2cs.py'

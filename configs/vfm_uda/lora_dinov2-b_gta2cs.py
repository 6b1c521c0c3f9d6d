# VFM-UDA's head and low-rank updates of the encoder's attention.
_base_ = './source_only_dinov2-b_gta2cs.py'
model = dict(backbone=dict(lora=dict(rank=16)))
optim_wrapper = dict(paramwise_cfg=dict(encoder_mult=1.0))

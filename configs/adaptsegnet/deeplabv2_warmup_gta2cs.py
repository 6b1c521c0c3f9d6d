# An adversarial warm-up that CAG can start from, on GTA5 -> Cityscapes.
_base_ = [
    '../_base_/models/deeplabv2_r101.py',
    '../_base_/methods/adversarial_warmup_gta2cs.py',
]
model = _base_.warmup

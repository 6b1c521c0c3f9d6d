# An adversarial warm-up that CAG can start from, on SYNTHIA -> Cityscapes.
_base_ = [
    '../_base_/models/deeplabv2-proda_r101.py',
    '../_base_/datasets/uda_synthia2cs_896x512.py',
    '../_base_/methods/adversarial_warmup.py',
]
model = _base_.warmup

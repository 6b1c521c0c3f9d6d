# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# ProDA's denoising stage on SYNTHIA -> Cityscapes with all 19 outputs; the
# release has 16, as deeplabv2_synthia2cs_16.py.
_base_ = [
    '../_base_/models/deeplabv2-proda_r101.py',
    '../_base_/datasets/uda_synthia2cs_896x512.py',
    '../_base_/methods/proda.py',
]
start_from = '{{ fileDirname }}/../adaptsegnet/deeplabv2_warmup_synthia2cs.py'
model = _base_.proda_synthia

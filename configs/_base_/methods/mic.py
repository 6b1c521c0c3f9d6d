# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# MIC on DACS, for images at half of Cityscapes' size.
_base_ = './dacs.py'
mic = dict(
    _base_.dacs, type='MICSegmentor', masking=dict(type='Masking', block=32)
)

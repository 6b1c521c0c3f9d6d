# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# MIC on DAFormer, for images at half of Cityscapes' size; on HRDA, for those
# at full size.
_base_ = './daformer.py'
mic_daformer = dict(
    _base_.daformer,
    type='MICSegmentor',
    masking=dict(type='Masking', block=32),
)
mic_hrda = dict(mic_daformer, masking=dict(type='Masking', block=64))

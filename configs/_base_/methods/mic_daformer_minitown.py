# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# MIC on DAFormer on minitown, whose images are an eighth of Cityscapes'.
_base_ = './daformer_minitown.py'
mic_daformer = dict(
    _base_.daformer,
    type='MICSegmentor',
    masking=dict(type='Masking', block=16),
    # The small network is full of batch norms.
    masked_statistics=False,
)

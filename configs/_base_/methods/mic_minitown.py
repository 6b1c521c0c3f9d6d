# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# MIC on DACS on minitown, whose images are an eighth of Cityscapes'.
_base_ = './dacs_minitown.py'
mic = dict(
    _base_.dacs,
    type='MICSegmentor',
    masking=dict(type='Masking', block=16),
    # The small network is full of batch norms.
    masked_statistics=False,
)

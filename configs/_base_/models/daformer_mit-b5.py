# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DAFormer: context-aware fusion of the levels of MiT-B5.
_base_ = './segformer_mit-b2.py'
model = dict(
    backbone=dict(
        type='ReleasedMiT',
        num_layers=[3, 6, 40, 3],
        init_cfg=dict(checkpoint='checkpoints/mit_b5_20220624-658746d9.pth'),
    ),
    decode_head=dict(type='DAFormerHead'),
)

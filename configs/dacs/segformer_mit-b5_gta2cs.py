# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# As segformer_mit-b2_gta2cs.py, on MiT-B5.
_base_ = './segformer_mit-b2_gta2cs.py'
model = dict(
    backbone=dict(
        num_layers=[3, 6, 40, 3],
        init_cfg=dict(checkpoint='checkpoints/mit_b5_20220624-658746d9.pth'),
    )
)

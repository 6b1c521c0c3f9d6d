# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# CycleGAN as BDL trains it.
model = dict(
    type='ImageTranslator',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        # Grey levels to [-1, 1], the range of the generator's tanh.
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=1,
    ),
    generator=dict(type='ResNetGenerator', channels=64, num_blocks=9),
    discriminator=dict(type='PatchDiscriminator', channels=64, num_layers=3),
    pool_size=50,
    cycle_weight=10.0,
    identity_weight=5.0,
    # dict(type='PerceptualLoss', segmentor=CONFIG, checkpoint=CHECKPOINT)
    perceptual=None,
)

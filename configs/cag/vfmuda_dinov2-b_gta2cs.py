# CAG-UDA with VFM-UDA's network on DINOv2-B.
_base_ = [
    '../_base_/models/vfmuda_dinov2-b.py',
    '../_base_/datasets/uda_gta2cs_vfm.py',
    '../_base_/methods/cag.py',
]
start_from = '{{ fileDirname }}/../vfm_uda/source_only_dinov2-b_gta2cs.py'
model = _base_.cag_auto_margin
optim_wrapper = dict(
    _delete_=True,
    constructor='EncoderOptimWrapperConstructor',
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-5 * 8**0.5, weight_decay=0.01),
    paramwise_cfg=dict(encoder_mult=0.1),
)

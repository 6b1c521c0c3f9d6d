# CAG-UDA on GTA5 -> Cityscapes as released, with DeepLab-V3+ on ResNet-101.
_base_ = [
    '../_base_/models/deeplabv3plus_r101_cag.py',
    '../_base_/methods/cag_gta2cs.py',
]
# The warm-up: configs/source_only/deeplabv3plus_gta2cs.py
load_from = 'work_dirs/source_only/deeplabv3plus_gta2cs/iter_90000.pth'
model = dict(
    **_base_.cag,
    data_preprocessor=dict(
        _delete_=True,
        type='UDADataPreprocessor',
        source=_base_.model.data_preprocessor,
        target=_base_.model.data_preprocessor,
    ),
)

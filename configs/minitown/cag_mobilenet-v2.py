# CAG-UDA on MobileNetV2.
_base_ = [
    '../_base_/models/fpn_mobilenet-v2.py',
    '../_base_/datasets/uda_minitown.py',
    '../_base_/methods/cag_minitown.py',
]
start_from = '{{ fileDirname }}/source_only_mobilenet-v2.py'
model = _base_.cag_small

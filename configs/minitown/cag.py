# CAG-UDA from the source-only network, three stages in one run.
_base_ = [
    '../_base_/models/segformer_effnet-lite0.py',
    '../_base_/datasets/uda_minitown.py',
    '../_base_/methods/cag_minitown.py',
]
start_from = '{{ fileDirname }}/source_only.py'
model = _base_.cag_small

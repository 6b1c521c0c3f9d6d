# CAG-UDA on another network.
_base_ = [
    '../_base_/models/fpn_effnet-lite2.py',
    '../_base_/methods/cag_minitown.py',
]
start_from = 'configs/minitown/source_only_lite2.py'
model = _base_.cag

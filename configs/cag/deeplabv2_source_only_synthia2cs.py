# As deeplabv2_synthia2cs.py, from the source-only network.
_base_ = './deeplabv2_synthia2cs.py'
start_from = '{{ fileDirname }}/../source_only/deeplabv2_synthia2cs.py'

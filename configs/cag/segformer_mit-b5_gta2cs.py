# As segformer_mit-b2_gta2cs.py, on MiT-B5.
_base_ = './segformer_mit-b2_gta2cs.py'
start_from = '{{ fileDirname }}/../source_only/segformer_mit-b5_gta2cs.py'
model = dict(backbone=dict(num_layers=[3, 6, 40, 3]))

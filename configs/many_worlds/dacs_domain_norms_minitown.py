# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DACS with two sources, and batch norms with statistics of each domain.
_base_ = './dacs_minitown.py'
model = dict(domain_norms=dict(domains=['target', 'gta', 'third']))

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# DAFormer on minitown, as long as CAG's three stages. A teacher of 450 steps
# must follow as fast as that of DACS, else it is the mean of all students.
_base_ = './dacs_minitown.py'
daformer = dict(_base_.dacs, type='DAFormerSegmentor')

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL on translated images of your own, such as the authors': no translator.
# Put them into data/gta/translated, or name their folder as GTA_TRANSLATED.
plain = '{{ fileDirname }}/deeplabv2_gta2cs.py'
ssl = '{{ fileDirname }}/deeplabv2_ssl_gta2cs.py'
steps = [
    dict(name='plain', train=plain),
    dict(name='labels_1', label='plain'),
    dict(name='ssl_1', train=ssl, labels='labels_1'),
    dict(name='labels_2', label='ssl_1'),
    dict(name='ssl_2', train=ssl, labels='labels_2'),
]

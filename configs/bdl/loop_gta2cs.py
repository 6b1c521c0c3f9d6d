# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# All of BDL on GTA5 -> Cityscapes, two rounds: tools/train_bdl.py.
translator = '{{ fileDirname }}/translator_gta2cs.py'
plain = '{{ fileDirname }}/deeplabv2_gta2cs.py'
ssl = '{{ fileDirname }}/deeplabv2_ssl_gta2cs.py'
steps = [
    dict(name='translator_1', train=translator),
    dict(name='translated_1', translate='translator_1'),
    dict(name='plain_1', train=plain, images='translated_1'),
    dict(name='labels_1', label='plain_1'),
    dict(name='ssl_1', train=ssl, images='translated_1', labels='labels_1'),
    # The other direction: the translator learns from the network.
    dict(name='translator_2', train=translator, perceptual='ssl_1'),
    dict(name='translated_2', translate='translator_2'),
    dict(name='plain_2', train=plain, images='translated_2'),
    dict(name='labels_2', label='plain_2'),
    dict(name='ssl_2', train=ssl, images='translated_2', labels='labels_2'),
    # The second round has two self-supervised steps.
    dict(name='labels_3', label='ssl_2'),
    dict(name='ssl_3', train=ssl, images='translated_2', labels='labels_3'),
]

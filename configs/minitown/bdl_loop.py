# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# All of BDL on minitown, two rounds: tools/train_bdl.py. The last network is
# trained as long as AdaptSegNet's; what only serves it, two thirds of that.
translator = '{{ fileDirname }}/translator.py'
plain = '{{ fileDirname }}/bdl.py'
ssl = '{{ fileDirname }}/bdl_ssl.py'
short = 150
steps = [
    dict(name='translator_1', train=translator),
    dict(name='translated_1', translate='translator_1'),
    dict(name='plain_1', train=plain, images='translated_1', iters=short),
    dict(name='labels_1', label='plain_1'),
    dict(
        name='ssl_1',
        train=ssl,
        images='translated_1',
        labels='labels_1',
        iters=short,
    ),
    dict(name='translator_2', train=translator, perceptual='ssl_1'),
    dict(name='translated_2', translate='translator_2'),
    dict(name='plain_2', train=plain, images='translated_2', iters=short),
    dict(name='labels_2', label='plain_2'),
    dict(name='ssl_2', train=ssl, images='translated_2', labels='labels_2'),
]

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# BDL: AdaptSegNet's rates, of whose 250,000 iterations 80,000 are run, and
# 120,000 with pseudo labels.
_base_ = './adversarial.py'
max_iters = 80000
ssl_iters = 120000
param_scheduler = [
    dict(
        type='PolyRestartLR',
        by_epoch=False,
        decay_iters=250000,
        power=0.9,
    )
]
train_cfg = dict(max_iters=max_iters, val_interval=10000)
ssl_scheduler = [dict(param_scheduler[0])]
ssl_train_cfg = dict(max_iters=ssl_iters)

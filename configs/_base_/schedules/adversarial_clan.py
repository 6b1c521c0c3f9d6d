# CLAN: 100,000 iterations to the end of the decay, with a linear warm-up.
_base_ = './adversarial.py'
max_iters = 100000
param_scheduler = [
    dict(
        type='PolyRestartLR',
        by_epoch=False,
        warmup_iters=max_iters // 20,
        power=0.9,
    )
]
train_cfg = dict(max_iters=max_iters, val_interval=2000)

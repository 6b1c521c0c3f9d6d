# ProDA's adversarial warm-up, as long as CAG's warm-up on the source alone.
_base_ = './adversarial.py'
max_iters = 90000
optim_wrapper = dict(
    members=dict(student=dict(optimizer=dict(weight_decay=2e-4)))
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]
train_cfg = dict(max_iters=max_iters)

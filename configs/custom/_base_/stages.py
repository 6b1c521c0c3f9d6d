# The length and the rate of the stages of adaptation.
_base_ = '../../_base_/methods/cag.py'
train_cfg = dict(
    stages=3,
    stage_iters=5000,
    # How often it is validated, and saved.
    vals_per_stage=5,
    saves_per_stage=5,
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=3e-4, weight_decay=0.01)
)
param_scheduler = [dict(type='PolyRestartLR', by_epoch=False, power=0.9)]

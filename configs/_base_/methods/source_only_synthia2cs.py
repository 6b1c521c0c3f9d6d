# Training on SYNTHIA alone, in the schedule of CAG's warm-up.
_base_ = [
    '../datasets/synthia2cs.py',
    '../schedules/supervised_cag.py',
    '../default_runtime.py',
]
auto_scale_lr = dict(enable=False, base_batch_size=4)
train_dataloader = dict(
    batch_size=4,
    num_workers=6,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=_base_.source_train,
)

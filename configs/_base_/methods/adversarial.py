# What adversarial methods of the DeepLab-V2 family share; beside a schedule.
_base_ = '../default_runtime.py'
auto_scale_lr = dict(enable=False, base_batch_size=1)
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='UDASampler'),
    dataset=dict(type='UDADataset'),
)
default_hooks = dict(checkpoint=dict(interval=5000))
custom_hooks = [*_base_.custom_hooks, dict(type='DiscriminatorHook')]

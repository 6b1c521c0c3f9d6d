# What image translators share; beside data, a network and a schedule.
_base_ = '../default_runtime.py'
default_hooks = dict(checkpoint=dict(interval=5000))
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='UDASampler'),
    dataset=dict(type='UDADataset'),
)
custom_hooks = [*_base_.custom_hooks, dict(type='DiscriminatorHook')]
# What tools/translate.py translates: source images, at the size they get.
translate_dataloader = dict(batch_size=1, num_workers=4)

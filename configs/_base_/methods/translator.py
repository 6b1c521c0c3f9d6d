# What image translators share.
_base_ = '../default_runtime.py'
# In the log and beside it: neither labels nor predictions are there.
default_hooks = dict(
    checkpoint=dict(interval=5000), visualization=None
)
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='UDASampler'),
    dataset=dict(type='UDADataset'),
)
custom_hooks = [*_base_.custom_hooks, dict(type='DiscriminatorHook')]
# The images that tools/translate.py translates, at the size they get there.
translate_dataloader = dict(batch_size=1, num_workers=4)

# CAG-UDA on SYNTHIA -> Cityscapes, for any network.
_base_ = ['../datasets/synthia2cs.py', './cag.py']
train_dataloader = dict(
    dataset=dict(source=_base_.source_train, target=_base_.target_train)
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='AnchorHook',
        dataloader=dict(
            **_base_.anchor_dataloader, dataset=_base_.source_plain
        ),
    ),
]

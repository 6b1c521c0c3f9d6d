# Your data with a few labelled images of the target, in the place of data.py:
# tools/assign_roles.py writes the roles. Docs: docs/labels.md.
_base_ = './data.py'
roles = 'data/real/roles.json'
train_dataloader = dict(
    dataset=dict(
        domains=dict(
            # A quarter of each batch.
            source=dict(
                _delete_=True,
                type='DomainPool',
                members=dict(
                    source=_base_.source,
                    few=dict(
                        type='RoleSubset',
                        roles=roles,
                        role='train',
                        dataset=_base_.target_labelled,
                    ),
                ),
                shares=dict(source=0.75, few=0.25),
            ),
            target=dict(
                _delete_=True,
                type='RoleSubset',
                roles=roles,
                dataset=_base_.target_dataset,
            ),
        )
    )
)
# Rare classes of the source: `train_dataloader = _base_.rare_classes`.
rare_classes = dict(
    _delete_=True,
    sampler=dict(
        orders=dict(
            source=dict(
                type='PoolOrder',
                orders=dict(source=dict(type='RareClassOrder')),
            )
        )
    ),
    dataset=dict(
        domains=dict(
            source=dict(
                members=dict(source=_base_.rare_classes.dataset.domains.source)
            )
        )
    ),
)
# Checkpoints are chosen by `choose`.
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='RoleSubset',
        roles=roles,
        role='choose',
        dataset=dict(
            _base_.target_labelled,
            test_mode=True,
            pipeline=_base_.val_dataloader.dataset.pipeline,
        ),
    )
)
# The images to evaluate on, but none that was trained on or chosen by.
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='RoleSubset',
        roles=roles,
        without=['train', 'choose'],
        dataset=_base_.test_dataloader.dataset,
    )
)

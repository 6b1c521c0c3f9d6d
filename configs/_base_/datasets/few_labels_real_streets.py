# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# Real streets with a few labelled images of the target, in roles that a file
# keeps apart (docs/labels.md): tools/assign_roles.py writes it.
_base_ = './uda_real_streets.py'
roles = '{{$STREETS_ROLES:data/real_streets/roles.json}}'
few = dict(type='RoleSubset', roles=roles, role='train')
train_dataloader = dict(
    dataset=dict(
        domains=dict(
            # A quarter of each batch; its pixels are donors where images are
            # mixed.
            source=dict(
                _delete_=True,
                type='DomainPool',
                members=dict(
                    source=_base_.source,
                    few=dict(**few, dataset=_base_.target_labelled),
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
# On the labels alone: `dict(_delete_=True, **_base_.labels_alone)`.
labels_alone = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='UDASampler'),
    dataset=dict(
        type='UDADataset',
        domains=dict(source=dict(**few, dataset=_base_.target_labelled)),
    ),
)
# Checkpoints are chosen by `choose`; the test set is CamVid's own.
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

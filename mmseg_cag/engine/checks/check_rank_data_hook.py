# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import hashlib
from pathlib import Path

from mmengine.dataset import BaseDataset
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_cag.datasets import UDADataset
from mmseg_cag.errors import UserError


@HOOKS.register_module()
class CheckRankDataHook(Hook):
    """Check that all ranks have the same data before a distributed run.

    Ranks split the images by index, so they must list the same files in the
    same order, possibly in different folders.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Compare the training datasets of all ranks.

        Raises:
            UserError: They differ, or there are fewer images than ranks.
        """
        ranks = get_world_size()
        if ranks == 1:
            return
        dataset = runner.train_dataloader.dataset
        key = 'train_dataloader.dataset'
        parts = {key: dataset}
        if isinstance(dataset, UDADataset):
            parts = {
                f'{key}.domains.{name}': part
                for name, part in dataset.domains.items()
            }
        own = {key: describe(part) for key, part in parts.items()}
        compare(all_gather_object(own))


def describe(dataset: BaseDataset) -> tuple[int, str]:
    """Count a dataset's images and hash their names in order."""
    names = (
        Path(dataset.get_data_info(i)['img_path']).name
        for i in range(len(dataset))
    )
    return len(dataset), hashlib.sha256(
        '\n'.join(names).encode(errors='surrogateescape')
    ).hexdigest()


def compare(ranks: list[dict[str, tuple[int, str]]]) -> None:
    """Compare the datasets of all ranks by config key.

    Raises:
        UserError: A rank's images differ in number or names from the first
            rank's, or there are fewer images than ranks.
    """
    for key, (count, names) in ranks[0].items():
        for rank, (other_count, other_names) in enumerate(
            own[key] for own in ranks
        ):
            if other_count != count:
                raise UserError(
                    f'{key}: rank {rank} has {other_count} images, rank 0 '
                    f'has {count}; expected the same on all'
                )
            if other_names != names:
                raise UserError(
                    f'{key}: rank {rank} has images with other names than '
                    'rank 0, or in another order; expected the same on all'
                )
        if count < len(ranks):
            raise UserError(
                f'{key}: has {count} images, expected at least one for each '
                f'of the {len(ranks)} ranks'
            )

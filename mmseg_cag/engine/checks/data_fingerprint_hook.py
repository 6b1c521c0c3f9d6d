# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch.utils.data import Dataset

from mmseg_cag.datasets.inspection.dataset_inputs import dataset_inputs
from mmseg_cag.datasets.inspection.fingerprint import fingerprint
from mmseg_cag.errors import UserError

SAME = 'same_data'  # in the message hub: unchanged since the run started


@HOOKS.register_module()
class DataFingerprintHook(Hook):
    """Store a fingerprint of the training data and compare it on resume.

    It covers only file names, relative to their common folder, sizes and the
    order: no file is opened, and the folder may be moved. For zip members only
    the names count.
    """

    # Unchanged data need no further check.
    priority = 'HIGHEST'

    def __init__(self) -> None:
        self._now: dict = {}
        self._then: dict = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read the fingerprint of a checkpoint."""
        self._then = checkpoint.get('meta', {}).get('data', {})

    def before_train(self, runner: Runner) -> None:
        """Compute the fingerprint and, when resuming, compare it.

        Raises:
            UserError: The data differ from those the run started with.
        """
        if is_main_process():
            self._now = fingerprints(runner.train_dataloader.dataset)
        resumed = runner.iter > 0 and self._then
        if resumed and is_main_process():
            for name, one in self._then.items():
                _require_same(runner, name, one, self._now.get(name))
        same = [bool(resumed)]
        broadcast_object_list(same)
        runner.message_hub.update_info(SAME, same[0], resumed=False)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the fingerprint."""
        checkpoint['meta']['data'] = self._now


def fingerprints(dataset: Dataset) -> dict[str, dict]:
    """Compute the fingerprint of a training set by domain.

    Args:
        dataset: The dataset, with or without wrappers.

    Returns:
        File count, bytes, and hashes of each part; see `fingerprint`.
    """
    return {
        reading.key: fingerprint(reading.samples)
        for reading in dataset_inputs(dataset, 'train', 'train')
    }


def _require_same(
    runner: Runner, name: str, then: dict, now: dict | None
) -> None:
    # Checkpoints of older versions lack the order.
    if now and then.items() <= now.items():
        return
    was, found = (
        f'{one["files"]} files of {one["bytes"]} bytes' if one else 'none'
        for one in (then, now)
    )
    raise UserError(
        f'{runner._load_from}: {name} has other data than at the start of the '
        f'run, {found}, expected {was} with the same names, sizes and '
        'order'
    )

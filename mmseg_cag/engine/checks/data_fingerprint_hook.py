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

SAME = 'same_data'  # in the message hub: as when the run was begun


@HOOKS.register_module()
class DataFingerprintHook(Hook):
    """Note in each checkpoint the data it was trained on, and compare.

    By names and sizes of the files alone, below the folder that they have in
    common: no file is opened, and the folder may be elsewhere the next time.
    Of files in zip files and of lists the names count alone.
    """

    # Data that are as they were need no further check.
    priority = 'HIGHEST'

    def __init__(self) -> None:
        self._now: dict = {}
        self._then: dict = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read what the checkpoint was trained on."""
        self._then = checkpoint.get('meta', {}).get('data', {})

    def before_train(self, runner: Runner) -> None:
        """Look at the files, and compare them where a run goes on.

        Raises:
            UserError: They are not those that the run began with.
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
    """Tell a training set's files from others, by domain.

    Args:
        dataset: The data set, with or without wrappers.

    Returns:
        Number, bytes and a hash of the names and sizes for each part.
    """
    return {
        reading.key: fingerprint(reading.samples)
        for reading in dataset_inputs(dataset, 'train', 'train')
    }


def _require_same(
    runner: Runner, name: str, then: dict, now: dict | None
) -> None:
    if then == now:
        return
    was, found = (
        f'{one["files"]} files of {one["bytes"]} bytes' if one else 'none'
        for one in (then, now)
    )
    raise UserError(
        f'{runner._load_from}: {name} has other data than the run began '
        f'with, {found}, expected {was} of the same names and sizes'
    )

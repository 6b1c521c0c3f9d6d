# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from mmseg.registry import HOOKS

from mmseg_cag.errors import escape_control_chars

SKIPPED = 'skipped_files'  # in a sample's metainfo and in the message hub


@HOOKS.register_module()
class SkippedFilesHook(Hook):
    """Log the skipped bad files at the end of training.

    Worker processes record them in the samples' metainfo; counts are over all
    ranks since this start of the run.
    """

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Count the bad files that the batch's samples replace."""
        count_skipped(runner, data_batch['data_samples'])

    def after_train(self, runner: Runner) -> None:
        """Log the list on the first rank."""
        own = runner.message_hub.get_info(SKIPPED, Counter())
        total = sum(all_gather_object(own), Counter())
        if not total:
            return
        lines = [
            escape_control_chars(f'{path}: {times} times, {reason}')
            for (path, reason), times in sorted(total.items())
        ]
        runner.logger.warning(
            f'{len(lines)} bad files were skipped, {total.total()} times:\n'
            + '\n'.join(lines)
        )


def count_skipped(
    runner: Runner, samples: dict[str, list] | Iterable[BaseDataElement]
) -> None:
    """Add the bad files that samples replace to the run's counts.

    Args:
        runner: The run.
        samples: The samples of a batch, or lists of them by domain.
    """
    found = Counter(_skipped(samples))
    if found:
        counts = runner.message_hub.get_info(SKIPPED, Counter())
        # Counts since this start only: a checkpoint would hold the first
        # rank's.
        runner.message_hub.update_info(SKIPPED, counts + found, resumed=False)


def _skipped(samples: dict | Iterable) -> Iterator[tuple[str, str]]:
    if isinstance(samples, dict):
        for part in samples.values():
            yield from _skipped(part)
        return
    for sample in samples:
        yield from sample.metainfo.get(SKIPPED, ())

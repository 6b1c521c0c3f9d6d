# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from mmengine.dist import master_only
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.models.segmentors.base import bare_model, current_stage

from .alarms import (
    ALARMS,
    AlarmRules,
    CoverageCollapse,
    Disagreement,
    ExplodedClass,
    VanishedClass,
    write_alarm,
)
from .observer_hook import WatchHook
from .record_file import RecordFile
from .target_record import (
    anchor_distances,
    count_labels,
    count_target,
    gap_edges,
    gap_record,
    margin_record,
    shares_of,
    sum_over_ranks,
    target_record,
)

RECORDS = 'monitor.jsonl'


@HOOKS.register_module()
class MonitorHook(WatchHook):
    """Monitor adaptation on the target without its labels.

    Each record covers the batch of one iteration over all ranks. It is a line
    of ``monitor.jsonl`` in the work dir (docs/monitor.md lists the keys) and
    goes to the visualizer. Problems raise an alarm in the log and in
    ``alarms.jsonl``.

    Args:
        interval: Iterations between records; 0 for none.
        bins: Bins of the histogram of gaps.
        vanished_class: Settings of `VanishedClass`.
        coverage: Settings of `CoverageCollapse`.
        disagreement: Settings of `Disagreement`.
        exploded_class: Settings of `ExplodedClass`.
    """

    def __init__(
        self,
        interval: int = 100,
        bins: int = 20,
        vanished_class: dict | None = None,
        coverage: dict | None = None,
        disagreement: dict | None = None,
        exploded_class: dict | None = None,
    ) -> None:
        super().__init__(interval)
        self.bins = bins
        self.rules = (
            partial(VanishedClass, **(vanished_class or {})),
            partial(CoverageCollapse, **(coverage or {})),
            partial(Disagreement, **(disagreement or {})),
            partial(ExplodedClass, **(exploded_class or {})),
        )
        self.alarms = self._new_watch()

    def before_train(self, runner: Runner) -> None:
        """Go on from the records that there are."""
        self.rewind(runner)

    @master_only
    def rewind(self, runner: Runner) -> None:
        """Drop records of iterations after the resumed one."""
        folder = Path(runner.work_dir)
        self.file = RecordFile(folder / RECORDS)
        self.alarms = self._new_watch()
        for record in self.file.keep(lambda r: r['iter'] <= runner.iter):
            self._look_again(record)
        RecordFile(folder / ALARMS).keep(lambda r: r['iter'] <= runner.iter)

    def _new_watch(self) -> AlarmRules:
        return AlarmRules([rule() for rule in self.rules])

    def _look_again(self, record: dict) -> None:
        try:
            self.alarms.look(record)
        # The rules trust the file's content.
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f'{self.file.path}: iteration {record["iter"]} is not a '
                'record of this monitor, move the file away'
            ) from error

    @torch.no_grad()
    def look(
        self, runner: Runner, maps: dict[str, Tensor], data_batch: dict
    ) -> None:
        """Count, reduce over ranks, and record."""
        record = self.make_record(runner, maps, data_batch)
        self.write(runner, record)

    def make_record(
        self, runner: Runner, maps: dict[str, Tensor], data_batch: dict
    ) -> dict:
        """Make a step's record; all ranks must call it."""
        model = bare_model(runner)
        classes = runner.train_dataloader.dataset.metainfo['classes']
        edges = None
        if 'distances' in maps:
            bank = model.anchor_bank
            between = anchor_distances(bank.anchors, bank.counts)
            edges = gap_edges(between, self.bins)
        counts = count_target(maps, len(classes), edges)
        counts['source'] = count_labels(
            _labelled_samples(runner, data_batch), counts['predicted']
        )
        counts = sum_over_ranks(counts)
        record = {'iter': runner.iter + 1}
        if (stage := current_stage(runner)) is not None:
            record['stage'] = stage
        record |= target_record(counts, classes)
        if source := shares_of(counts['source'], classes):
            record['source'] = source
        if 'distances' in maps:
            margin = model.pseudo_label_head.margin
            record['margin'] = margin_record(margin, classes)
        if edges is not None:
            record['margin_histogram'] = gap_record(
                counts['gaps'], edges, classes
            )
        return record

    @master_only
    def write(self, runner: Runner, record: dict) -> None:
        """Write a record to the file and the visualizer; raise alarms."""
        self.file.append(record)
        scalars = dict(_scalars(record))
        runner.visualizer.add_scalars(scalars, step=record['iter'])
        for name in ('active', 'agreement'):
            if name in record:
                key = f'train/monitor.{name}'
                runner.message_hub.update_scalar(key, record[name])
        for alarm in self.alarms.look(record):
            write_alarm(runner, alarm)


def _labelled_samples(runner: Runner, data_batch: dict) -> list[SegDataSample]:
    """List the samples of a batch that have labels."""
    samples = data_batch['data_samples']
    names = getattr(runner.train_dataloader.dataset, 'labelled', ())
    return [sample for name in names for sample in samples[name]]


def _scalars(record: dict) -> list[tuple[str, float]]:
    """Flatten a record into named scalars for a visualizer."""
    single = ('active', 'agreement', 'kappa', 'followed')
    found = [(f'monitor/{k}', record[k]) for k in single if k in record]
    for key in ('predicted', 'coverage', 'pseudo'):
        found += [
            (f'{key}/{name}', value)
            for name, value in record.get(key, {}).items()
        ]
    return found

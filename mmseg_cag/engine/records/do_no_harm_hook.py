# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import CheckpointLoader, Runner
from mmseg.registry import HOOKS

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.atomic import atomic_write
from mmseg_cag.fileio.checkpoints import BEFORE, LOOKS
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.models.segmentors.base import UDASegmentor, bare_model
from mmseg_cag.monitor.harm import Limits
from mmseg_cag.monitor.record_file import RecordFile

from .atomic_checkpoint_hook import averaged_statistics
from .comparison import (
    LABELLED,
    ByLabels,
    BySigns,
    Verdict,
    has_source,
    images_to_choose_by,
)
from .descent import DESCENT, inherited

KEPT = 'best.pth'
KEY = 'do_no_harm'  # in a checkpoint's meta: why it was kept
KEPT_AS = 'kept from'  # purpose of a start that is kept
SUBJECT = 'subject'  # in the record: what is compared
NEEDS = (
    f'it needs labelled target images ({LABELLED}), or a labelled domain and '
    'the pipeline of a test'
)


@HOOKS.register_module()
class DoNoHarmHook(Hook):
    """Compare the adapted network with its starting point; keep the better.

    Runs at each validation and at the end, on labelled target images if
    available, else by signs that precede harm; see docs/do_no_harm.md.
    ``best.pth`` in the work dir is the network to keep, ``do_no_harm.jsonl``
    has one line per comparison. A run without a starting checkpoint or a
    target has nothing to compare; one without labels in any domain says so.

    Args:
        labelled: Config of a labelled target dataset for evaluation, used
            neither in training nor for reported results. By default the
            validation set, if its images have the role ``choose``
            (docs/labels.md).
        images: Images per domain for comparisons without labels.
        interval: Iterations between comparisons, in addition to those at
            validations; 0 for none.
        on_harm: 'stop' ends a run that has lost, with an error; 'report' only
            logs it.
        patience: Consecutive comparisons that must find harm before a run is
            stopped.
        limits: Settings of `Limits`, for comparisons without labels.

    Raises:
        UserError: A setting is invalid.
    """

    # Before other hooks report at the end.
    priority = 'ABOVE_NORMAL'

    def __init__(
        self,
        labelled: dict | None = None,
        images: int = 32,
        interval: int = 0,
        on_harm: str = 'stop',
        patience: int = 2,
        limits: dict | None = None,
    ) -> None:
        if on_harm not in ('stop', 'report'):
            raise UserError(
                f'DoNoHarmHook: on_harm={on_harm!r}, expected stop or report'
            )
        for name, value in (('images', images), ('patience', patience)):
            if value < 1:
                raise UserError(
                    f'DoNoHarmHook: {name}={value}, expected a number from 1'
                )
        self.labelled = labelled
        self.images = images
        self.interval = interval
        self.on_harm = on_harm
        self.patience = patience
        self.limits = Limits(**(limits or {}))
        self.comparison: ByLabels | BySigns | None = None
        self._looks: list[dict] = []
        self._error, self._is_stopped = None, False

    def before_train(self, runner: Runner) -> None:
        """Record the network that adaptation starts from.

        Raises:
            UserError: A resumed run would compare something else.
        """
        folder = Path(runner.work_dir)
        self.file = RecordFile(folder / LOOKS)
        self._error, self._is_stopped = None, False
        self.comparison = None
        has_start = runner.iter or runner.cfg.get('load_from')
        if not has_start or not _adapts(runner):
            return
        if runner.iter == 0:
            comparison, model = self._compare_by(runner), bare_model(runner)
            if why := comparison.is_blind(model) if comparison else NEEDS:
                runner.logger.info(f'Do no harm: no comparison, {why}')
                return
            self.comparison = comparison
            subject = np.array(comparison.subject())
            self.before = {SUBJECT: subject, **comparison.note(model)}
            return
        if (folder / BEFORE).is_file():
            self.comparison = self._compare_by(runner)
            self.before = _read_arrays(folder / BEFORE)
            self._require_same_subject(folder / BEFORE)
        self.rewind(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Save that network, after an earlier run's files are moved aside."""
        if self.comparison is None or runner.iter:
            return
        self.rewind(runner)
        path = runner.cfg.load_from
        # On all ranks: those that download it wait for each other.
        start = CheckpointLoader.load_checkpoint(path, 'cpu')
        if is_main_process():
            content = io.BytesIO()
            np.savez_compressed(content, **self.before)
            _write(runner, BEFORE, content)
            descent = inherited(path, KEPT_AS, runner.cfg.get('licences'))
            kept = {
                'meta': {**(start.get('meta') or {}), DESCENT: descent},
                'state_dict': start.get('state_dict', start),
            }
            _keep_source(runner, kept, 'adaptation has not ended')

    def rewind(self, runner: Runner) -> None:
        """Drop records of iterations after the resumed one."""
        looks = [None]
        if is_main_process():
            looks = [self.file.keep(lambda r: r['iter'] <= runner.iter)]
        broadcast_object_list(looks)
        self._looks = looks[0]

    def after_train_iter(
        self, runner: Runner, batch_idx: int, **kwargs: object
    ) -> None:
        """Compare if the interval is reached."""
        if self.interval and (batch_idx + 1) % self.interval == 0:
            self._look(runner, batch_idx + 1)

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Compare at each validation of training."""
        self._look(runner, runner.iter)

    def after_train(self, runner: Runner) -> None:
        """Log the winner and keep that network."""
        self._look(runner, runner.iter)
        if self.comparison is None:
            return
        last = self._looks[-1]
        if last['score'] is None and not last['lost']:
            with averaged_statistics(bare_model(runner)):
                _keep_adapted(runner, last)
        result = f'{last["reason"]}; {_conclude(runner, last["reason"])}'
        if not last['lost']:
            runner.logger.info(f'Do no harm: {result}')
            return
        self._error = (
            f'{runner.work_dir}: adaptation lost to the network it started '
            f'from: {result}'
        )
        runner.logger.warning(self._error)

    def after_run(self, runner: Runner) -> None:
        """End a run that lost with an error.

        Raises:
            UserError: The run was stopped because of harm.
        """
        comparison, self.comparison = self.comparison, None
        if comparison is None or self._error is None:
            return
        if self._is_stopped:
            raise UserError(self._error)
        runner.logger.warning(self._error)

    def _compare_by(self, runner: Runner) -> ByLabels | BySigns | None:
        classes = runner.train_dataloader.dataset.metainfo['classes']
        if labelled := self.labelled or images_to_choose_by(runner.cfg):
            comparison = ByLabels(labelled, classes)
            if comparison.doubt:
                runner.logger.warning(comparison.doubt)
            return comparison
        if not has_source(runner.cfg):
            return None
        return BySigns(runner.cfg, classes, self.images, self.limits)

    def _require_same_subject(self, path: Path) -> None:
        now = self.comparison.subject() if self.comparison else None
        if [*self.before.get(SUBJECT, ())] != now:
            raise UserError(
                f'{path}: the run began to compare by other labels, images or '
                'classes, expected the same settings of '
                'default_hooks.do_no_harm; default_hooks.do_no_harm=None '
                'continues without it'
            )

    def _look(self, runner: Runner, iteration: int) -> None:
        if self.comparison is None or (
            self._looks and self._looks[-1]['iter'] == iteration
        ):
            return
        model = bare_model(runner)
        with averaged_statistics(model):
            verdict = [self.comparison.judge(self.before, model)]
            # Only the first rank reads the monitor's records.
            broadcast_object_list(verdict)
            self._add(runner, iteration, verdict[0])
        lost = [look['lost'] for look in self._looks[-self.patience :]]
        if self.on_harm == 'stop' and lost == [True] * self.patience:
            runner.train_loop.stop_training = self._is_stopped = True

    def _add(self, runner: Runner, iteration: int, verdict: Verdict) -> None:
        look = {'iter': iteration, **verdict._asdict()}
        if verdict.lost:
            runner.logger.warning(
                f'Adaptation does harm, iteration {iteration}: '
                f'{verdict.reason}'
            )
        if verdict.score is not None and verdict.score > self._best():
            _keep_adapted(runner, look)
        self._looks.append(look)
        if is_main_process():
            self.file.append(look)

    def _best(self) -> float:
        """Return the best mIoU so far, including the starting network's."""
        start = self.comparison.score_before(self.before)
        return max([start, *(look['score'] for look in self._looks)])


def _adapts(runner: Runner) -> bool:
    """Return whether a run learns from a target."""
    dataset = runner.cfg.train_dataloader.dataset
    domains = {*dataset.get('domains', {})}
    labelled = {*dataset.get('labelled', ['source'])}
    return isinstance(bare_model(runner), UDASegmentor) and bool(
        domains - labelled
    )


def _keep_adapted(runner: Runner, look: dict) -> None:
    """Save the current network as the best."""
    why = {'adapted': True, 'reason': look['reason']}
    try:
        runner.save_checkpoint(
            runner.work_dir,
            KEPT,
            save_optimizer=False,
            save_param_scheduler=False,
            meta=dict(epoch=runner.epoch, iter=look['iter'], **{KEY: why}),
            by_epoch=False,
            backend_args={'backend': 'atomic'},
        )
    except OSError as error:
        _tell_failure(runner, KEPT, error)


def _keep_source(runner: Runner, checkpoint: dict, reason: str) -> None:
    """Save the starting network as the best."""
    checkpoint['meta'][KEY] = {'adapted': False, 'reason': reason}
    content = io.BytesIO()
    torch.save(checkpoint, content)
    _write(runner, KEPT, content)


def _conclude(runner: Runner, reason: str) -> str:
    """Say which network is kept; note in the starting network why."""
    path, told = Path(runner.work_dir, KEPT), [f'{KEPT} is missing']
    if is_main_process() and path.is_file():
        checkpoint = read_checkpoint(path, mmap=True)
        meta, which = checkpoint['meta'], 'the initial one'
        if meta[KEY]['adapted']:
            which = f'that of iteration {meta["iter"]}'
        else:
            _keep_source(runner, checkpoint, reason)
        told = [f'{KEPT} is the network to keep, {which}']
    broadcast_object_list(told)
    return told[0]


def _write(runner: Runner, name: str, content: io.BytesIO) -> None:
    try:
        atomic_write(Path(runner.work_dir, name), content.getvalue())
    except OSError as error:
        _tell_failure(runner, name, error)


def _tell_failure(runner: Runner, name: str, error: OSError) -> None:
    runner.logger.error(
        f'{name}: could not be written ({error.strerror}); training continues'
    )


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise UserError(
            f'{path}: cannot be read ({error}), expected the record from the '
            'start of this run; default_hooks.do_no_harm=None continues '
            'without it'
        ) from error

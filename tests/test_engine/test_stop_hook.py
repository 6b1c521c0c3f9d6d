# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Signals to a run: it saves and says so, and a second one ends it."""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing import resource_sharer
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from mmseg_cag.engine.loops import EXIT_CODE
from mmseg_cag.engine.resilience import signals
from mmseg_cag.engine.resilience.signals import (
    ECHO,
    SIGNALS,
    WORKER_FAULTS,
    StopSignals,
    guard_workers,
    raise_worker_fault,
)
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.checkpoints import numbered
from tests import tiny
from tests.faults import processes
from tests.faults.child import Child
from tests.faults.laboratory import Laboratory


@pytest.fixture(scope='module')
def lab(tmp_path_factory) -> Laboratory:
    return Laboratory(tmp_path_factory.mktemp('stop'), seed=0)


def signalled(
    lab: Laboratory, number: int, at: int, folder: Path, **options: object
) -> Child:
    """Start a run that gets a signal in the middle of an iteration."""

    class Send(Hook):
        def before_train_iter(self, runner, **kwargs) -> None:
            if runner.iter + 1 == at:
                # As Ctrl-C in a terminal: to its processes, too.
                os.killpg(0, number)

    build = Runner.from_cfg

    def with_signal(cfg: object) -> Runner:
        runner = build(cfg)
        runner.register_hook(Send())
        return runner

    def work() -> None:
        Runner.from_cfg = with_signal
        cfg = lab.config('CAG', folder)
        cfg.merge_from_dict(options)
        lab.run(cfg)

    return lab.start(work)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_the_step_is_finished_and_saved(lab, number):
    folder = lab.folder()
    child = signalled(lab, number, 3, folder)
    assert child.wait() == EXIT_CODE == 75, child.tail()
    assert numbered(folder)[-1].name == 'iter_3.pth'
    assert (folder / 'last_checkpoint').read_text().endswith('iter_3.pth')
    said = child.log.read_text()
    assert f'{signal.Signals(number).name}: stopped after iteration 3' in said


def test_the_accumulated_batch_is_finished(lab):
    folder = lab.folder()
    options = {
        'optim_wrapper.accumulative_counts': 3,
        'default_hooks.checkpoint.interval': 3,
    }
    child = signalled(lab, signal.SIGTERM, 1, folder, **options)
    assert child.wait() == EXIT_CODE, child.tail()
    assert 'stopped after iteration 3' in child.log.read_text()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_workers_live_on(lab, number):
    folder = lab.folder()
    options = {'train_dataloader.num_workers': 2}
    child = signalled(lab, number, 3, folder, **options)
    assert child.wait() == EXIT_CODE, child.tail()
    assert numbered(folder)[-1].name == 'iter_3.pth'


class Handlers(Dataset):
    """Tells what the process that reads it does on signals."""

    worker: int | None = None

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> list:
        ignored = [signal.getsignal(n) == signal.SIG_IGN for n in SIGNALS]
        return [ignored, self.worker]

    @classmethod
    def set_up(cls, worker: int) -> None:
        cls.worker = worker


def test_workers_ignore_the_signals_and_are_set_up_as_before():
    loader = DataLoader(
        Handlers(),
        batch_size=None,
        num_workers=1,
        worker_init_fn=Handlers.set_up,
    )
    guard_workers(loader)
    assert next(iter(loader)) == [[True, True], 0]
    # Only the workers do.
    assert Handlers()[0] == [[False, False], None]


def test_a_test_builds_no_training_data(lab):
    cfg = lab.config('CAG', lab.folder())
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator, cfg.test_cfg = cfg.val_evaluator, dict(type='TestLoop')
    cfg.train_dataloader.dataset.domains.source.data_root = 'gone'
    assert 'mIoU' in Runner.from_cfg(cfg).test()


def test_a_missed_validation_is_stopped_too(lab):
    folder = lab.folder()

    class Send(Hook):
        def before_val_iter(self, runner, **kwargs) -> None:
            if runner.iter == 6:
                os.kill(os.getpid(), signal.SIGTERM)

    build = Runner.from_cfg

    def with_signal(cfg: object) -> Runner:
        runner = build(cfg)
        runner.register_hook(Send())
        return runner

    def work() -> None:
        Runner.from_cfg = with_signal
        lab.run(lab.config('CAG', folder))

    for said in ('INFO - Stage 2 begins', 'INFO - Validation of iteration 6'):
        child = lab.start(work)
        assert child.wait() == EXIT_CODE, child.tail()
        log = child.log.read_text()
        assert said in log and 'SIGTERM: stopped after iteration 6' in log
        child.log.unlink()
    child = lab.start(lambda: lab.run(lab.config('CAG', folder)))
    assert child.wait() == 0, child.tail()
    assert 'Last: mIoU' in child.log.read_text()


def test_a_second_signal_ends_at_once(tmp_path):
    def work() -> None:
        request = StopSignals()
        request.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        # What a launcher passes on is the same signal once more.
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.signal == 'SIGTERM'
        time.sleep(ECHO + 0.1)
        print('still there')
        os.kill(os.getpid(), signal.SIGINT)
        print('not ended')

    child = Child(work, tmp_path / 'log')
    assert child.wait() == -signal.SIGINT
    said = child.log.read_text()
    assert 'still there' in said and 'not ended' not in said


def test_a_request_that_cannot_be_kept_says_so(tmp_path):
    def work() -> None:
        signals.PATIENCE = 0.05
        request = StopSignals()
        request.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        request.end()

    child = Child(work, tmp_path / 'log')
    assert child.wait() == 0
    assert signals.LATE.decode() in child.log.read_text()


def test_the_wait_for_a_batch_is_broken_off():
    request = StopSignals()
    request.listen()
    try:
        with pytest.raises(signals.Interrupted), request.waiting():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        # And one that begins after the signal.
        with pytest.raises(signals.Interrupted), request.waiting():
            time.sleep(5)
    finally:
        request.end()


@pytest.mark.parametrize('asked', [True, False])
def test_a_worker_never_answers(lab, monkeypatch, asked):
    monkeypatch.setattr(lab.rng, 'random', lambda: 0.0 if asked else 1.0)
    monkeypatch.setattr(processes, 'METHODS', ['CAG'])
    processes.silence_worker(lab)


def test_there_is_no_room_to_hand_a_batch_over(lab, monkeypatch):
    monkeypatch.setattr(processes, 'METHODS', ['CAG'])
    processes.fill_shared_memory(lab)


def test_a_worker_that_ends_while_a_batch_is_fetched_is_told_in_one_line():
    shared = resource_sharer.DupFd(1)
    resource_sharer.stop()
    with pytest.raises(UserError, match='ended while passing a batch'):
        try:
            shared.detach()
        except WORKER_FAULTS as error:
            raise_worker_fault(error)


@pytest.mark.skipif(
    not hasattr(signal, 'SIGCHLD'), reason='Windows has no such signal'
)
def test_the_end_of_a_worker_may_be_noticed_while_its_fault_is_told():
    class Fault(ConnectionResetError):
        def __str__(self) -> str:
            os.kill(os.getpid(), signal.SIGCHLD)
            return 'DataLoader worker closed its connection'

    def as_torch(number: int, frame: object) -> None:
        raise RuntimeError('DataLoader worker exited unexpectedly')

    before = signal.signal(signal.SIGCHLD, as_torch)
    try:
        with pytest.raises(UserError, match='closed its connection'):
            raise_worker_fault(Fault())
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_pinning_thread_that_ends_is_told_in_one_line():
    told = 'Pin memory thread exited unexpectedly'  # torch's
    with pytest.raises(UserError, match=f'{told}.*see what its workers said'):
        raise_worker_fault(RuntimeError(told))


def test_other_errors_of_a_connection_stay_as_they_are():
    error = ConnectionResetError('of something else')
    with pytest.raises(ConnectionResetError, match='something else'):
        raise_worker_fault(error)


def test_a_thread_that_is_not_the_main_one_trains(lab):
    folder = lab.folder()
    cfg = lab.config('CAG', folder)

    def work() -> None:
        thread = threading.Thread(target=lab.run, args=(cfg,))
        thread.start()
        thread.join()

    child = lab.start(work)
    assert child.wait() == 0, child.tail()
    assert numbered(folder)[-1].name == 'iter_6.pth', child.tail()
    assert 'signals do not stop it' in child.log.read_text()


def test_it_needs_a_hook_that_saves(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'work')
    cfg.custom_hooks.append(dict(type='StopHook'))
    with pytest.raises(UserError, match='is no AtomicCheckpointHook'):
        Runner.from_cfg(cfg).train()

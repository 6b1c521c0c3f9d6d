# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from gpu_day.setup import NO_TIME, NOT_DRAWN, Setup, explain, require_gpu
from gpu_day.tables import print_tables, to_markdown

JSON, LOG, MARKDOWN = 'gpu_day.json', 'gpu_day.log', 'gpu_day.md'
# Seconds reserved for the tables.
RESERVE = 5
# When the command began, in seconds of `time.time`.
BEGUN = 'GPU_DAY_BEGUN'
# Signals that end the measurements early.
STOPS = (signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1  # of linux/prctl.h


class Part(NamedTuple):
    """A part of the measurements.

    Attributes:
        module: Module with ``measure`` and ``check``.
        title: Title of the part.
        share: Share of the time; unused time goes to later parts.
        memory: Required GPU memory, GiB; None if it needs no GPU.
    """

    module: str
    title: str
    share: float
    memory: float | None


# Parts beside which the towns are drawn: they do not time steps.
BESIDE_DRAWING = ('a', 'b')
# By value, and by dependencies on earlier parts.
PARTS = {
    'a': Part('machine', 'versions and the card', 0.03, None),
    'b': Part('gpu_tests', 'tests on the GPU', 0.32, 4),
    'c': Part('anchors', 'anchor operations and the floor', 0.05, 4),
    'd': Part('release', "the step at the release's setting", 0.31, 16),
    'e': Part('recipes', 'a step of each published recipe', 0.16, 4),
    'g': Part('loading', 'images that are loaded and eaten', 0.05, None),
    'f': Part('training', 'a training at scale', 0.08, 8),
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        'gpu_day.sh', description='Run all measurements that need a GPU.'
    )
    parser.add_argument(
        '--minutes', type=float, default=6.0, help='of all (default: 6)'
    )
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/gpu_day'), metavar='DIR'
    )
    parser.add_argument(
        '--parts', default=','.join(PARTS), help=f'of {",".join(PARTS)}'
    )
    parser.add_argument(
        '--rehearse', action='store_true', help='all shrunk, on the CPU'
    )
    args = parser.parse_args()
    args.parts = args.parts.split(',')
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f'--parts: {min(unknown)!r} is none of {",".join(PARTS)}')
    return args


class Day:
    """Runs the parts in order and writes the file of their results.

    Args:
        args: Command-line arguments.
        folder: Folder for files of the parts.

    Attributes:
        drawing: Process that draws the towns, if they are needed.
    """

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args, self.folder = args, folder
        self.drawing: multiprocessing.Process | None = None
        spent = time.time() - float(os.environ.get(BEGUN, time.time()))
        self.ends = time.monotonic() + 60 * args.minutes - spent - RESERVE
        self.found: dict = dict(
            started=time.strftime('%Y-%m-%d %H:%M'),
            minutes=args.minutes,
            rehearsal=args.rehearse,
            parts={},
        )
        args.out.mkdir(parents=True, exist_ok=True)
        keep_earlier(args.out)
        (args.out / LOG).write_text('')

    def run(self) -> bool:
        """Run the parts; returns whether all succeeded."""
        left = list(self.args.parts)
        while left:
            part = PARTS[left[0]]
            if self.drawing and left[0] not in BESIDE_DRAWING:
                self._await_towns(self.drawing)
            share = part.share / sum(PARTS[letter].share for letter in left)
            seconds = share * (self.ends - time.monotonic())
            self._run_part(left.pop(0), seconds)
        parts = self.found['parts'].values()
        return all(part['status'] == 'ok' for part in parts)

    def _run_part(self, letter: str, seconds: float) -> None:
        part, start = PARTS[letter], time.monotonic()
        entry = dict(title=part.title, status='runs', message='', results={})
        self.found['parts'][letter] = entry
        self._write()
        entry['message'] = NO_TIME
        if seconds >= 1:
            entry['message'] = self._work(letter, entry, start + seconds)
        entry['status'] = 'failed' if entry['message'] else 'ok'
        entry['seconds'] = round(time.monotonic() - start, 1)
        self._write()
        self._write_tables()
        told = f': {entry["message"]}' if entry['message'] else ''
        print(
            f'{letter}  {part.title}: {entry["status"]}, '
            f'{entry["seconds"]:.0f} s{told}'
        )

    def _work(self, letter: str, entry: dict, ends: float) -> str:
        """Run a part in its process; returns any failure."""
        receiver, sender = CONTEXT.Pipe(duplex=False)
        given = self._setup(ends)
        process = CONTEXT.Process(target=work, args=(letter, given, sender))
        try:
            process.start()
            sender.close()
            return self._follow(entry, receiver, ends)
        except EOFError:
            process.join(5)
            return f'ended with code {process.exitcode}'
        finally:
            end(process)

    def _follow(self, entry: dict, receiver: Connection, ends: float) -> str:
        """Collect results of a part as they arrive; returns any failure.

        Raises:
            EOFError: Its process has died.
        """
        start = time.monotonic()
        while (rest := ends - time.monotonic()) > 0:
            if not receiver.poll(min(rest, 1)):
                continue
            kind, value = receiver.recv()
            if kind == 'done':
                return value
            if kind == 'machine':
                self.found['machine'] = value
            else:
                entry['results'] = value
            self._write()
        return f'stopped after its {ends - start:.0f} s'

    def _setup(self, ends: float) -> dict:
        parts = self.found['parts']
        return dict(
            device='cpu' if self.args.rehearse else 'cuda',
            rehearse=self.args.rehearse,
            # Some seconds to report its progress.
            ends=ends - 2,
            folder=self.folder,
            earlier={key: part['results'] for key, part in parts.items()},
            log=self.args.out / LOG,
            describe='machine' not in self.found,
        )

    def _await_towns(self, drawing: multiprocessing.Process) -> None:
        """Wait for the drawing, for half of the time that is left at most."""
        drawing.join(max(0.0, self.ends - time.monotonic()) / 2)
        if (code := drawing.exitcode) == 0:
            return
        end(drawing)
        failed = self.folder / NOT_DRAWN
        if not failed.exists():
            why = 'in time' if code is None else f'(it ended with {code})'
            failed.write_text(f'minitown was not drawn {why}')

    def _write(self) -> None:
        path = self.args.out / JSON
        draft = path.with_suffix('.part')
        draft.write_text(json.dumps(self.found, indent=1) + '\n')
        os.replace(draft, path)

    def _write_tables(self) -> None:
        try:
            text = to_markdown(self.found)
            (self.args.out / MARKDOWN).write_text(text + '\n')
        except Exception:  # a table must not end the day
            traceback.print_exc()


def keep_earlier(out: Path) -> None:
    """Rename the files of an earlier run in the folder."""
    names = (JSON, LOG, MARKDOWN)
    for number in count(1):
        kept = {n: (out / n).with_stem(f'gpu_day_{number}') for n in names}
        if not any(path.exists() for path in kept.values()):
            break
    for name, path in kept.items():
        if (out / name).exists():
            (out / name).rename(path)


# The parent imports what all parts need and never touches the GPU: so each
# child starts with all imports and a fresh GPU context.
CONTEXT = multiprocessing.get_context('fork')


def work(letter: str, given: dict, sender: Connection) -> None:
    """Run a part in its process."""
    detach(given.pop('log'))
    print(f'== {letter}')
    part, describe = PARTS[letter], given.pop('describe')
    setup = Setup(**given, save=lambda found: sender.send(('results', found)))
    try:
        if describe:
            machine = import_module('gpu_day.machine').identify(setup.device)
            sender.send(('machine', machine))
        if part.memory is not None and not setup.rehearse:
            require_gpu(part.memory)
        if find_spec('mmseg'):
            import_module('mmseg.utils').register_all_modules()
        module = import_module(f'gpu_day.{part.module}')
        results = module.measure(setup)
        setup.save(results)
        faults = module.check(results, setup.rehearse)
    except BaseException as error:
        traceback.print_exc()
        faults = [explain(error)]
    sys.stdout.flush()
    sender.send(('done', '; '.join(faults)))
    # Do not wait for threads and workers of libraries.
    os._exit(0)


def detach(log: Path) -> None:
    """Make this process a session that writes to the log.

    It ends when its parent does, whatever ends that.
    """
    os.setsid()
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)
    signal_when_alone(signal.SIGKILL)
    file = log.open('a', buffering=1)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(file.fileno(), stream.fileno())


def signal_when_alone(number: int) -> None:
    """Let Linux send this process a signal when its parent ends."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def end(process: multiprocessing.Process) -> None:
    """Kill the process of a part and its children."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()  # one that has not begun its session yet
    process.join()


def draw(
    folder: Path, rehearse: bool, log: Path, beside: bool = False
) -> multiprocessing.Process:
    """Draw the towns, alone or beside tests; returns the process."""
    process = CONTEXT.Process(
        target=_draw, args=(folder, rehearse, log, beside)
    )
    process.start()
    return process


def _draw(folder: Path, rehearse: bool, log: Path, beside: bool) -> None:
    detach(log)
    try:
        from gpu_day.towns import draw_towns

        draw_towns(folder, rehearse, beside)
    except BaseException as error:
        traceback.print_exc()
        told = f'minitown was not drawn: {explain(error)}'
        (folder / NOT_DRAWN).write_text(told)
        os._exit(1)
    os._exit(0)


# Set if children of a process that imported torch get no GPU.
IMPORT_LATE = 'GPU_DAY_IMPORT_LATE'


def preload(args: argparse.Namespace) -> None:
    """Import what most parts need, if installed.

    If that costs the children the GPU, restart without it.
    """
    if os.environ.get(IMPORT_LATE):
        return
    with suppress(Exception):
        import torch  # noqa: F401
        from mmseg.utils import register_all_modules

        import mmseg_cag  # noqa: F401

        register_all_modules()
    if args.rehearse:
        return
    process = CONTEXT.Process(target=_try_gpu)
    process.start()
    process.join(60)
    if process.exitcode != 0:
        process.kill()
        os.environ[IMPORT_LATE] = '1'
        command = [sys.executable, '-m', 'gpu_day', *sys.argv[1:]]
        os.execv(sys.executable, command)  # noqa: S606


def _try_gpu() -> None:
    signal_when_alone(signal.SIGKILL)
    with suppress(BaseException):
        require_gpu(0)
        os._exit(0)
    os._exit(1)


def stop(number: int, frame: FrameType | None) -> None:
    """End as an exception does: with the processes of this one."""
    for other in STOPS:
        signal.signal(other, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main() -> None:
    """Run the parts, write their results and print them."""
    os.environ.setdefault(BEGUN, str(time.time()))
    for number in STOPS:
        if signal.getsignal(number) != signal.SIG_IGN:  # by nohup
            signal.signal(number, stop)
    signal_when_alone(signal.SIGTERM)
    args = parse_args()
    preload(args)
    with tempfile.TemporaryDirectory() as folder:
        day = Day(args, Path(folder))
        try:
            if {'e', 'f', 'g'} & set(args.parts):
                log, beside = args.out / LOG, 'b' in args.parts
                day.drawing = draw(day.folder, args.rehearse, log, beside)
            went_well = day.run()
        finally:
            if day.drawing:
                end(day.drawing)
    print_tables(day.found)
    print(f'Written: {args.out / JSON}')
    raise SystemExit(0 if went_well else 1)

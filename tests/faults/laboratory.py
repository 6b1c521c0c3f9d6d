# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Where runs are disturbed, and compared with undisturbed ones."""

from __future__ import annotations

import gc
import itertools
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config

from mmseg_cag.checkpoints import numbered
from mmseg_cag.experiments.chain import train_chain
from tests import tiny

from .child import Child, Lost
from .methods import config_of

PARTS = ('state_dict', 'optimizer', 'param_schedulers', 'rank_statistics')


class Laboratory:
    """Tiny data, undisturbed results, and folders for disturbed runs.

    Args:
        root: An empty folder.
        seed: Of all random choices.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.rng = random.Random(seed)
        self._numbers = itertools.count()
        self._known: dict[str, tuple[Path, float]] = {}
        tiny.write_towns(root)

    def folder(self) -> Path:
        """Name a folder that is not there yet."""
        return self.root / f'work_{next(self._numbers)}'

    def start(self, work: Callable[[], object]) -> Child:
        """Start some work."""
        return Child(work, self.root / 'log')

    def train(self, method: str, folder: Path, **changes: object) -> Child:
        """Start a run, as ``tools/train.py --resume`` does."""
        cfg = self.config(method, folder)
        cfg.merge_from_dict(changes)
        return self.start(lambda: self.run(cfg))

    def config(self, method: str, folder: Path) -> Config:
        """Make the config of a method's run."""
        return config_of(method, self.root, folder)

    def run(self, cfg: Config) -> None:
        """Train in this process, from where the folder's run has got."""
        prepare()
        train_chain(cfg, resume=True)

    def undisturbed(
        self, name: str, start: Callable[[Path], Child]
    ) -> tuple[Path, float]:
        """Get the result that is expected; it is made once.

        Args:
            name: Which result.
            start: Starts what makes it, given the folder.

        Returns:
            Its folder, and seconds of CPU that it took at least.
        """
        if name not in self._known:
            folder = self.folder()
            child = start(folder)
            seconds = 0.0
            while child.process.is_alive():
                now = child.cpu_seconds()
                seconds = now if now < float('inf') else seconds
                child.process.join(0.01)
            require_end(child)
            self._known[name] = folder, seconds
        return self._known[name]

    def undisturbed_run(self, method: str) -> tuple[Path, float]:
        """Get the folder of a method's run, and its seconds of CPU."""
        return self.undisturbed(method, lambda f: self.train(method, f))

    def interrupt(
        self,
        start: Callable[[Path], Child],
        seconds: float,
        number: int,
    ) -> tuple[Path, int]:
        """Start something and send it a signal at a random instant.

        Args:
            start: Starts it, given a folder.
            seconds: The latest instant.
            number: The signal.

        Returns:
            The folder and the exit code.
        """
        while True:
            folder = self.folder()
            child = start(folder)
            instant = self.rng.uniform(0, seconds)
            if child.signal_after(instant, number):
                return folder, child.wait()
            # It was faster this time.
            seconds *= 0.9
            shutil.rmtree(folder)


def prepare() -> None:
    """Spare a process what takes a tiny run most of its time."""
    torch.set_num_threads(1)
    gc.freeze()  # what was imported is gone through after each training
    Config.pretty_text = property(repr)  # formatting takes seconds


def finish_and_compare(lab: Laboratory, method: str, folder: Path) -> None:
    """Give the command again, and compare with the undisturbed run."""
    expected, _ = lab.undisturbed_run(method)
    require_end(lab.train(method, folder))
    require_same_run(expected, folder)
    shutil.rmtree(folder)


def require_end(child: Child) -> None:
    """Wait for a run that must come to its end."""
    if code := child.wait():
        raise Lost(f'ended with {code}: {child.tail()}')


def require_same_run(expected: Path, found: Path) -> None:
    """Compare the last checkpoints and the validations bit by bit."""
    one, two = (numbered(folder) for folder in (expected, found))
    if not two or one[-1].name != two[-1].name:
        raise Lost(f'has {[path.name for path in two]}')
    one, two = (
        torch.load(paths[-1], weights_only=False) for paths in (one, two)
    )
    for part in PARTS:
        if not same(one.get(part), two.get(part)):
            raise Lost(f'{part} differs from that of the undisturbed run')
    one, two = (_validations(folder) for folder in (expected, found))
    if one != two:
        raise Lost(f'validations or the best differ: {two[1]}, not {one[1]}')


def _validations(folder: Path) -> tuple[str, list[str]]:
    """Get all results, and which weights were kept as the best."""
    path = folder / 'validation.json'
    best = sorted(p.name for p in folder.glob('best_*.pth'))
    return path.read_text() if path.is_file() else '', best


def require_same_files(expected: Path, found: Path) -> None:
    """Compare the images of two folders byte by byte."""
    one, two = (
        {str(p.relative_to(f)): p.read_bytes() for p in f.rglob('*.png')}
        for f in (expected, found)
    )
    if not one or one != two:
        raise Lost(f'{len(two)} files differ from the expected {len(one)}')


def same(first: object, second: object) -> bool:
    """Compare nested states bit by bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            same(first[key], second[key]) for key in first
        )
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    return first == second

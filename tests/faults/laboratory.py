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

from mmseg_cag.launch.chain import train_chain
from tests import tiny

from .child import Child
from .compare import require_end, require_same_run
from .methods import config_of


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
            require_end(child)
            shutil.rmtree(folder)
            seconds *= 0.9


def prepare() -> None:
    """Spare a process what takes a tiny run most of its time."""
    torch.set_num_threads(1)
    gc.freeze()  # what was imported is gone through after each training
    Config.pretty_text = property(repr)  # formatting takes seconds


def finish_and_compare(
    lab: Laboratory, method: str, folder: Path, best: bool = True
) -> None:
    """Give the command again, and compare with the undisturbed run."""
    expected, _ = lab.undisturbed_run(method)
    require_end(lab.train(method, folder))
    require_same_run(expected, folder, best)
    shutil.rmtree(folder)

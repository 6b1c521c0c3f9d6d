# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The runs on minitown: what the quickstart and the benchmark are made of."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmseg_cag.datasets.minitown import draw_minitown

from .step import Step

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs' / 'minitown'


@dataclass(frozen=True)
class Budget:
    """What the runs may cost.

    Attributes:
        images: Training images of the source, of the target, and validation
            images of the target.
        size: Height and width of the images, pixels.
        supervised_iters: Iterations of source-only and of the oracle; None
            takes the config's.
        stage_iters: Iterations of a stage of adaptation; None likewise.
    """

    images: tuple[int, int, int] = (600, 600, 100)
    size: tuple[int, int] = (128, 256)
    supervised_iters: int | None = None
    stage_iters: int | None = None


@dataclass(frozen=True)
class MinitownRuns:
    """All runs on minitown for one seed, each a step that is done once.

    Attributes:
        data: Folder of the towns.
        folder: Folder of the runs' results.
        seed: Seed of training; the towns have their own.
        budget: What the runs may cost.
    """

    data: Path
    folder: Path
    seed: int
    budget: Budget

    def draw(self) -> float:
        """Draw the towns; returns the seconds it took."""
        source, target, val = self.budget.images
        arguments = dict(
            size=list(self.budget.size), source=source, target=target, val=val
        )
        step = Step('Draw the towns', self.data, arguments)
        return step.run(lambda: draw_minitown(self.data, **arguments))

    def train_supervised(self, name: str) -> float:
        """Train ``source_only`` or the ``oracle``; returns the seconds."""
        return self._train(name, self.supervised_config(name))

    def train_stages(self, name: str) -> float:
        """Adapt the source-only network by a method; returns the seconds."""
        cfg = self.stages_config(name)
        return self._train(name, cfg)

    def supervised_config(self, name: str) -> Config:
        """Load a config of plain training with this budget."""
        cfg = self._load(name)
        if iters := self.budget.supervised_iters:
            _set_stages(cfg, iters, stages=1)
        return cfg

    def stages_config(self, name: str) -> Config:
        """Load a config of adaptation with this budget."""
        cfg = self._load(name)
        if iters := self.budget.stage_iters:
            _set_stages(cfg, iters, cfg.stages)
        warm_up = self.supervised_config('source_only')
        cfg.load_from = str(self.checkpoints('source_only', warm_up)[-1])
        return cfg

    def checkpoints(self, name: str, cfg: Config) -> list[Path]:
        """Name the checkpoints at the ends of a run's stages."""
        interval = cfg.default_hooks.checkpoint.interval
        ends = range(interval, cfg.train_cfg.max_iters + 1, interval)
        return [self.folder / name / f'iter_{end}.pth' for end in ends]

    def _load(self, name: str) -> Config:
        cfg = Config.fromfile(CONFIGS / f'{name}.py')
        cfg.randomness.seed = self.seed
        for part in walk(cfg._cfg_dict):
            if 'data_root' in part:
                part['data_root'] = part['data_root'].replace(
                    cfg.data_root, f'{self.data}/'
                )
        return cfg

    def _train(self, name: str, cfg: Config) -> float:
        folder = self.folder / name
        step = Step(f'Train {name}, seed {self.seed}', folder, cfg.to_dict())

        def work() -> None:
            path = folder / 'recipe.py'
            cfg.dump(path)
            command = [sys.executable, ROOT / 'tools' / 'train.py', path]
            options = ['--work-dir', folder, '--resume']
            subprocess.run([*command, *options], check=True)

        return step.run(work)


def walk(node: object) -> Iterator[ConfigDict]:
    """Visit all dicts of a nested config."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from walk(value)


def _set_stages(cfg: Config, iters: int, stages: int) -> None:
    """Give a config stages of another length."""
    cfg.train_cfg.update(max_iters=iters * stages, val_interval=iters)
    cfg.default_hooks.checkpoint.interval = iters
    for part in walk(cfg._cfg_dict):
        if 'stage_iters' in part and 'type' in part:
            part['stage_iters'] = iters

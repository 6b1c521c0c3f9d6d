# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The runs on minitown: what the quickstart and the benchmark are made of."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config
from rich.progress import Progress

from mmseg_cag.analysis.evaluate import evaluate
from mmseg_cag.datasets.inspection.drawing_record import MANIFEST
from mmseg_cag.engine.loops import total_iters
from mmseg_cag.launch.stages import set_iters, stage_length, walk
from mmseg_cag.version import __version__

from .manifest import VERSION
from .step import Step
from .town import draw_minitown

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs' / 'minitown'


@dataclass(frozen=True)
class Budget:
    """What the runs may cost.

    Attributes:
        images: Training images of the source and of the target, validation
            images of the target, images of the third town.
        size: Height and width of the images, pixels.
        supervised_iters: Iterations of source-only and of the oracle; None
            takes the config's.
        stage_iters: Iterations of a stage of adaptation; None likewise.
    """

    images: tuple[int, int, int, int] = (600, 600, 100, 100)
    size: tuple[int, int] = (128, 256)
    supervised_iters: int | None = None
    stage_iters: int | None = None

    @property
    def towns(self) -> dict:
        """Arguments of `draw_minitown`."""
        names = ('source', 'target', 'val', 'synthia')
        counts = dict(zip(names, self.images, strict=True))
        return {'size': tuple(self.size), **counts}


@dataclass(frozen=True)
class MinitownRuns:
    """All runs on minitown for one seed, each a step that is done once.

    Attributes:
        data: Folder of the towns.
        folder: Folder of the runs' results.
        seed: Seed of training; the towns have their own.
        budget: What the runs may cost.
        variants: Runs beside those of ``configs/minitown``: by name, the
            config that each is like and the settings in which it differs.
    """

    data: Path
    folder: Path
    seed: int
    budget: Budget
    variants: Mapping[str, tuple[str, dict]] = field(default_factory=dict)

    def draw(self) -> float:
        """Draw the towns unless they are there; returns the seconds it took.

        Raises:
            UserError: The folder holds something else.
        """
        with Progress() as bar:
            task = bar.add_task('Draw the towns')
            draw_minitown(
                self.data,
                **self.budget.towns,
                progress=lambda done, total: bar.update(
                    task, completed=done, total=total
                ),
            )
            bar.update(task, completed=1, total=1)
        return json.loads((self.data / MANIFEST).read_text())['seconds']

    def train(self, name: str) -> float:
        """Train by the config of that name; returns the seconds it took."""
        step = self._training(name)

        def work() -> None:
            path = step.folder / 'recipe.py'
            self.config(name).dump(path)
            command = [sys.executable, ROOT / 'tools' / 'train.py', path]
            options = ['--work-dir', step.folder, '--resume']
            done = subprocess.run([*command, *options], check=False)
            if done.returncode:
                raise SystemExit(f'{step.name}: failed, see the error above')

        return step.run(work)

    def evaluate(self, name: str) -> list[float]:
        """Compute target mIoU (percent) at the end of each stage of a run."""
        folder = self.folder / 'evaluation' / name
        recipe = {'of': self._training(name).fingerprint}
        results = folder / 'results.json'

        def work() -> None:
            cfg = self.config(name)
            values = [
                evaluate(cfg, checkpoint, folder)
                for checkpoint in self.checkpoints(name)
            ]
            results.write_text(json.dumps(values))

        step = Step(f'Evaluate {name}, seed {self.seed}', folder, recipe)
        step.run(work)
        return json.loads(results.read_text())

    def config(self, name: str) -> Config:
        """Load a run's config, of ``configs/minitown``, for this budget."""
        like, changes = self.variants.get(name, (name, {}))
        cfg = Config.fromfile(CONFIGS / f'{like}.py')
        cfg.merge_from_dict(changes)
        cfg.randomness.seed = self.seed
        for part in walk(cfg._cfg_dict):
            if 'data_root' in part:
                town = Path(part['data_root']).name
                part['data_root'] = str(self.data / town)
            if part.get('type') == 'RandomResize':
                part['scale'] = tuple(self.budget.size[::-1])
            if part.get('type') == 'RandomCrop':
                # A crop keeps its share of the frame, in the configs of the
                # default size.
                part['crop_size'] = tuple(
                    crop * size // whole
                    for crop, size, whole in zip(
                        part['crop_size'],
                        self.budget.size,
                        Budget.size,
                        strict=True,
                    )
                )
        if start := self._start(name):
            # Found under this folder, whatever its config calls its own.
            cfg.start_from = None
            cfg.load_from = str(self.checkpoints(start)[-1])
            iters = self.budget.stage_iters
        else:
            iters = self.budget.supervised_iters
        if iters:
            set_iters(cfg, iters)
        return cfg

    def checkpoints(self, name: str) -> list[Path]:
        """Name the checkpoints at the ends of a run's stages."""
        cfg = self.config(name)
        total = total_iters(cfg.train_cfg)
        length = stage_length(cfg) or total
        ends = range(length, total + 1, length)
        return [self.folder / name / f'iter_{end}.pth' for end in ends]

    def _start(self, name: str) -> str | None:
        like, _ = self.variants.get(name, (name, {}))
        start = Config.fromfile(CONFIGS / f'{like}.py').get('start_from')
        return Path(start).stem if start else None

    def _training(self, name: str) -> Step:
        cfg = self.config(name)
        recipe = {
            'config': cfg.to_dict(),
            'towns': {**self.budget.towns, 'version': VERSION},
            'mmseg_cag': __version__,
        }
        if start := self._start(name):
            recipe['after'] = self._training(start).fingerprint
        title = f'Train {name}, seed {self.seed}'
        return Step(title, self.folder / name, recipe)

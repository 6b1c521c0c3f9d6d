# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Runs on minitown, for the quickstart and the benchmarks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from mmseg_cag.analysis.evaluate import evaluate
from mmseg_cag.datasets.inspection.drawing_record import MANIFEST
from mmseg_cag.engine.loops import total_iters
from mmseg_cag.launch.cfg_options import merge_options
from mmseg_cag.launch.stages import set_iters, stage_length, walk
from mmseg_cag.progress import progress
from mmseg_cag.version import __version__

from .child import run_tool
from .manifest import FOLDERS, VERSION
from .pairs import MINITOWN, ROOT, Budget, Pair
from .step import Step
from .town import draw_minitown

__all__ = ['ROOT', 'Budget', 'MinitownRuns']

# Transforms with the image size as a setting.
RESIZES = ('RandomResize', 'RandomResizeCrop', 'Resize')
# Settings that are the size of a part of the image.
CROPS = {'crop_size', 'detail_size'}


@dataclass(frozen=True)
class MinitownRuns:
    """All runs on a pair for one seed, each a cached step.

    Attributes:
        data: Folder of the towns.
        folder: Folder of the runs' results.
        seed: Seed of training; the towns have their own.
        budget: Sizes and lengths of the runs.
        variants: Runs beside those of the pair's configs: by name, the base
            config and the changed settings.
        pair: The pair of domains.
    """

    data: Path
    folder: Path
    seed: int
    budget: Budget
    variants: Mapping[str, tuple[str, dict]] = field(default_factory=dict)
    pair: Pair = MINITOWN

    def draw(self) -> float:
        """Draw the towns if missing; returns the seconds taken.

        Raises:
            UserError: The folder contains something else.
        """
        with progress('Draw the towns') as show:
            if not draw_minitown(
                self.data, **self.budget.towns, progress=show
            ):
                images = sum(self.budget.images)
                show(images, images)
        return json.loads((self.data / MANIFEST).read_text())['seconds']

    def train(self, name: str) -> float:
        """Train the config of that name; returns the seconds taken."""
        step = self._training(name)

        def work() -> None:
            path = step.folder / 'recipe.py'
            self.config(name).dump(path)
            tool = ROOT / 'tools' / 'train.py'
            options = ['--work-dir', step.folder, '--resume']
            run_tool(step.name, tool, path, *options)

        return step.run(work)

    def evaluate(self, name: str) -> list[float]:
        """Compute the target mIoU (percent) at the end of each stage."""
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
        """Load a run's config for this budget.

        Raises:
            UserError: A variant sets something that no config uses.
        """
        like, changes = self.variants.get(name, (name, {}))
        cfg = self._load(like)
        merge_options(cfg, changes, f'variant {name}')
        cfg.randomness.seed = self.seed
        for part in walk(cfg._cfg_dict):
            # Real data stays where the config says.
            if Path(part.get('data_root', '')).name in FOLDERS:
                town = Path(part['data_root']).name
                part['data_root'] = str(self.data / town)
            if part.get('type') in RESIZES:
                part['scale'] = tuple(self.budget.size[::-1])
            for key in CROPS & part.keys():
                # Crops keep their share of the frame relative to the default
                # size.
                whole = self.pair.budget.size
                part[key] = tuple(
                    crop * size // side
                    for crop, size, side in zip(
                        part[key], self.budget.size, whole, strict=True
                    )
                )
        if start := self._start(name):
            # Found in this folder, whatever work_dir its config sets.
            cfg.start_from = None
            cfg.load_from = str(self.checkpoints(start)[-1])
            iters = self.budget.stage_iters
        else:
            iters = self.budget.supervised_iters
        if iters and 'train_cfg' in cfg:
            set_iters(cfg, iters)
        if teacher := self.teacher_of(name):
            end = str(self.checkpoints(teacher)[-1])
            cfg.model.distillation.teacher.checkpoint = end
        return cfg

    def checkpoints(self, name: str) -> list[Path]:
        """List the checkpoints at the ends of a run's stages."""
        cfg = self.config(name)
        total = total_iters(cfg.train_cfg)
        length = stage_length(cfg) or total
        ends = range(length, total + 1, length)
        return [self.folder / name / f'iter_{end}.pth' for end in ends]

    def teacher_of(self, name: str) -> str | None:
        """Return the name of the run's teacher run, if any."""
        like, _ = self.variants.get(name, (name, {}))
        model = self._load(like).get('model') or {}
        teacher = model.get('distillation', {}).get('teacher', {})
        return Path(teacher.config).stem if teacher else None

    def _load(self, like: str) -> Config:
        return Config.fromfile(self.pair.configs / f'{like}.py')

    def _start(self, name: str) -> str | None:
        like, _ = self.variants.get(name, (name, {}))
        start = self._load(like).get('start_from')
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
        if teacher := self.teacher_of(name):
            recipe['taught by'] = self._training(teacher).fingerprint
        title = f'Train {name}, seed {self.seed}'
        return Step(title, self.folder / name, recipe)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Multi-run loops on minitown, for the benchmark."""

from __future__ import annotations

import json
from pathlib import Path

from mmengine.config import Config

from mmseg_cag.analysis.evaluate import evaluate
from mmseg_cag.workflows.bdl.plan import load_steps
from mmseg_cag.workflows.bdl.steps import Training

from .child import run_tool
from .runs import ROOT, MinitownRuns
from .step import Step


class MinitownLoops(MinitownRuns):
    """All runs and loops of runs on minitown for one seed.

    A loop starts from the same source-only network as the single runs; train
    that first.
    """

    def train_loop(self, name: str) -> float:
        """Run a loop of ``configs/minitown``; returns the seconds taken."""
        step = self._loop(name)

        def work() -> None:
            path = self._write_loop(name)
            tool = ROOT / 'tools' / 'train_bdl.py'
            run_tool(step.name, tool, path, '--work-dir', step.folder)

        return step.run(work)

    def evaluate_loop(self, name: str) -> dict[str, float]:
        """Compute the target mIoU (percent) of each network in a loop.

        Returns:
            The mIoU by step name; the last is the loop's result.
        """
        folder = self.folder / 'evaluation' / name
        recipe = {'of': self._loop(name).fingerprint}
        results = folder / 'results.json'

        def work() -> None:
            loop = Config.fromfile(self._write_loop(name))
            loop.update(work_dir=str(self.folder / name), launcher='none')
            values = {
                step.name: evaluate(step.cfg, step.result, folder)
                for step in load_steps(loop)
                if isinstance(step, Training)
                and 'decode_head' in step.cfg.model
            }
            results.write_text(json.dumps(values))

        Step(f'Evaluate {name}, seed {self.seed}', folder, recipe).run(work)
        return json.loads(results.read_text())

    def _steps(self, name: str) -> list[dict]:
        steps = Config.fromfile(self.pair.configs / f'{name}.py')
        steps = steps.to_dict()['steps']
        if self.budget.stage_iters:
            # The budget sets the length of a run.
            for step in steps:
                step.pop('iters', None)
        return steps

    def _write_loop(self, name: str) -> Path:
        """Write the configs of the loop and its runs for this budget."""
        folder = self.folder / name / 'configs'
        folder.mkdir(parents=True, exist_ok=True)
        steps = self._steps(name)
        for step in steps:
            if 'train' in step:
                stem = Path(step['train']).stem
                step['train'] = str(folder / f'{stem}.py')
                self.config(stem).dump(step['train'])
        path = folder / f'{name}.py'
        Config(dict(steps=steps)).dump(path)
        return path

    def _loop(self, name: str) -> Step:
        steps = self._steps(name)
        runs = {Path(s['train']).stem for s in steps if 'train' in s}
        recipe = {
            'steps': steps,
            'runs': {run: self._training(run).fingerprint for run in runs},
        }
        title = f'Run {name}, seed {self.seed}'
        return Step(title, self.folder / name, recipe)

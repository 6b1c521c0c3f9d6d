# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Train and score one row in this process."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import median

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope

from mmseg_cag.analysis.evaluate import build_runner
from mmseg_cag.engine.loops import total_iters
from mmseg_cag.engine.records.do_no_harm_hook import LOOKS
from mmseg_cag.engine.records.provenance import provenance_of
from mmseg_cag.engine.runtime.norm_statistics import reestimated_checkpoint
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.fileio.json_file import read_lines, read_object, write_json
from mmseg_cag.launch.chain import train_chain
from mmseg_cag.launch.stages import stage_length, walk
from mmseg_cag.minitown.child import run_tool
from mmseg_cag.minitown.loops import MinitownLoops
from mmseg_cag.minitown.manifest import FOLDERS, VERSION
from mmseg_cag.minitown.pairs import PAIRS, ROOT, Budget
from mmseg_cag.minitown.step import Step
from mmseg_cag.monitor.alarms import ALARMS

from .machine import describe
from .methods import REESTIMATED, Row, Variant

TIMES, SCORES = 'times.json', 'scores.json'
# The file about the source for source-free rows.
SOURCE = 'source_free.pth'
# What tools/fit_anchors.py writes.
FITTED = 'anchors.pth'
# Iterations between comparisons with the network before adaptation.
LOOK_EVERY = 75
# Medians of a row -> keys of mmengine's iteration timer.
STEP = {
    'seconds_per_step': 'train/time',
    'of_them_for_data': 'train/data_time',
}


@dataclass(frozen=True)
class Place:
    """Folders and options of the runs.

    Attributes:
        data: Folder of each pair's drawn towns.
        work: Folder of the runs.
        results: Folder of the rows.
        budgets: Budget of each pair's runs.
        variants: Runs beside those of the configs.
        workers: Data loading processes of a run; None for the config's.
    """

    data: Mapping[str, Path]
    work: Path
    results: Path
    budgets: Mapping[str, Budget]
    variants: Mapping[str, Variant] = field(default_factory=dict)
    workers: int | None = None

    def runs(self, pair: str, seed: int) -> BenchmarkRuns:
        """Make the runs of a pair for one seed."""
        variants = {n: (v.like, v.changes) for n, v in self.variants.items()}
        starts = {n: v.start for n, v in self.variants.items() if v.start}
        return BenchmarkRuns(
            self.data[pair],
            self.work / pair / f'seed{seed}',
            seed,
            self.budgets[pair],
            variants,
            PAIRS[pair],
            starts,
            self.workers,
        )


@dataclass(frozen=True)
class BenchmarkRuns(MinitownLoops):
    """The runs of a pair for one seed, in this process.

    Attributes:
        starts: The row that a variant starts from, by the variant's name.
        workers: Processes that load data for a run.
    """

    starts: Mapping[str, str] = field(default_factory=dict)
    workers: int | None = None
    # Configs by name: reading one takes a tenth of a second.
    _read: dict = field(default_factory=dict, repr=False, compare=False)

    def config(self, name: str) -> Config:
        """Load a run's config without its observers."""
        cfg = super().config(name.removesuffix(REESTIMATED))
        spare(cfg, self.workers)
        if self.is_fitted(name):
            cfg.train_dataloader = None
        if self.source_of(name):
            cfg.load_from = str(self.folder / name / SOURCE)
        return cfg

    def train(self, name: str) -> float:
        """Train or re-estimate; returns the seconds taken."""
        if name.endswith('_loop'):
            return self.train_loop(name)
        step = self._training(name)

        def work() -> None:
            cfg = self.config(name)
            cfg.work_dir = str(step.folder)
            cfg.launcher = 'none'
            # mmengine identifies a process's records by it.
            cfg.experiment_name = f'{self.pair.name}_{self.seed}_{name}'
            for part in walk(cfg._cfg_dict):
                if part.get('type') == 'RareClassOrder':
                    # Only this run's: others write theirs at the same time.
                    part['index'] = str(step.folder / 'class_pixels.json')
            if name.endswith(REESTIMATED):
                init_default_scope(cfg.default_scope)
                start = self.checkpoints(self._start(name))[-1]
                with atomic_path(self.checkpoints(name)[-1]) as draft:
                    torch.save(reestimated_checkpoint(cfg, start), draft)
            elif self.is_fitted(name):
                path = step.folder / 'recipe.py'
                cfg.dump(path)
                tool = ROOT / 'tools' / 'fit_anchors.py'
                run_tool(step.name, tool, path, '--work-dir', step.folder)
            else:
                if source := self.source_of(name):
                    self._export(source, Path(cfg.load_from))
                train_chain(cfg, resume=True)
                note_times(step.folder)

        return step.run(work)

    def _export(self, source: str, path: Path) -> None:
        """Export the file about the source, at the end of a run's stage 1."""
        cfg = path.with_suffix('.py')
        self.config(source).dump(cfg)
        tool = ROOT / 'tools' / 'export_source_free.py'
        first, *_ = self.checkpoints(source)
        run_tool(f'Export of {source}', tool, cfg, first, path)

    def score(self, name: str) -> dict[str, dict[str, float]]:
        """Compute the metrics of a run's checkpoints, in percent."""
        if name.endswith('_loop'):
            *_, last = self.evaluate_loop(name).items()
            return {last[0]: {'mIoU': last[1]}}
        found = {}
        for checkpoint in self.scored(name):
            folder = self.folder / 'evaluation' / f'{self.pair.name}_{name}'
            metrics = build_runner(
                self.config(name), checkpoint, folder
            ).test()
            found[checkpoint.stem] = {
                key: round(float(value), 2) for key, value in metrics.items()
            }
        return found

    def scored(self, name: str) -> list[Path]:
        """List the checkpoints to score, the last one last.

        Those at the ends of stages; for an adaptation without stages, each
        that its config saves.
        """
        cfg = self.config(name)
        found = self.checkpoints(name)
        start = self._start(name)
        if stage_length(cfg) or not start or name.endswith(REESTIMATED):
            return found
        total = total_iters(cfg.train_cfg)
        interval = cfg.default_hooks.checkpoint.interval
        saved = {*range(interval, total, interval), total}
        return [found[-1].with_name(f'iter_{n}.pth') for n in sorted(saved)]

    def checkpoints(self, name: str) -> list[Path]:
        """Name the checkpoints at the ends of a run's stages."""
        if self.is_fitted(name):
            return [self.folder / name / FITTED]
        return super().checkpoints(name)

    def is_fitted(self, name: str) -> bool:
        """Tell whether a row has anchors of an encoder that none trains."""
        like, _ = self.variants.get(name, (name, {}))
        model = self._load(like.removesuffix(REESTIMATED)).get('model') or {}
        return model.get('decode_head', {}).get('type') == 'AnchorHead'

    def has_stages(self, name: str) -> bool:
        """Check whether a row's checkpoints are the ends of stages."""
        if name.endswith(('_loop', REESTIMATED)):
            return False
        return stage_length(self.config(name)) is not None

    def steps(self, name: str) -> int | None:
        """Count the iterations of a row; None for a loop."""
        if name.endswith('_loop'):
            return None
        if name.endswith(REESTIMATED) or self.is_fitted(name):
            return 0
        return total_iters(self.config(name).train_cfg)

    def identity(self, name: str) -> str:
        """Hash all settings that a row depends on, except its seed."""
        start = self.start_of(name)
        # Rows are older than the setting of other towns.
        towns = {k: v for k, v in self.budget.towns.items() if k != 'seed'}
        if self.budget.seed:
            towns['seed'] = self.budget.seed
        content = {
            'recipe': self._recipe(name),
            'towns': {**towns, 'version': VERSION},
            'from': self.identity(start) if start else None,
            'reestimated': name.endswith(REESTIMATED),
        }
        if teacher := self.teacher_of(name):
            content['taught by'] = self.identity(teacher)
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _recipe(self, name: str) -> object:
        if name.endswith('_loop'):
            steps = self._steps(name)
            stems = {Path(s['train']).stem for s in steps if 'train' in s}
            for step in steps:
                step.pop('train', None)
            return [steps, {stem: self.identity(stem) for stem in stems}]
        cfg = self.config(name)
        for part in walk(cfg._cfg_dict):
            if 'data_root' in part:
                root = Path(part['data_root']).name
                part['data_root'] = root if root in FOLDERS else 'given'
        if self.teacher_of(name):
            cfg.model.distillation.teacher.update(config=None, checkpoint=None)
        # It only observes: no weight depends on it.
        cfg.default_hooks.pop('do_no_harm', None)
        recipe = provenance_of(cfg)
        recipe.get('randomness', {}).pop('seed', None)
        loader = cfg.get('test_dataloader') or {}  # a translator has none
        return [recipe, loader.get('dataset'), cfg.get('test_evaluator')]

    def start_of(self, name: str) -> str | None:
        """Return the name of a row's start, if any."""
        if name.endswith('_loop'):
            return 'source_only'
        return self._start(name)

    def needs(self, name: str) -> list[str]:
        """List the rows that a row starts from or learns from."""
        return [n for n in (self.start_of(name), self.teacher_of(name)) if n]

    def teacher_of(self, name: str) -> str | None:
        """Return the name of a row's teacher row, if any."""
        if name.endswith('_loop'):
            return None
        return super().teacher_of(name.removesuffix(REESTIMATED))

    def source_of(self, name: str) -> str | None:
        """Return the name of a source-free row's export row, if any."""
        if name.endswith(REESTIMATED):
            return None
        like, _ = self.variants.get(name, (name, {}))
        path = self._load(like).get('source_from')
        return Path(path).stem if path else None

    def stages_before(self, name: str) -> int:
        """Count the stages of another run that a row's stages follow.

        The file about the source comes from the end of stage 1.
        """
        return 1 if self.source_of(name) else 0

    def _start(self, name: str) -> str | None:
        base = name.removesuffix(REESTIMATED)
        if base != name:
            return base
        given = self.starts.get(name) or self.source_of(name)
        return given or super()._start(name)

    def _load(self, like: str) -> Config:
        if like not in self._read:
            self._read[like] = super()._load(like)
        return deepcopy(self._read[like])

    def _training(self, name: str) -> Step:
        if not name.endswith(REESTIMATED):
            return super()._training(name)
        start = self._training(self._start(name))
        recipe = {'re-estimated': start.fingerprint}
        title = f'Re-estimate {name}, seed {self.seed}'
        return Step(title, self.folder / name, recipe)


def spare(cfg: Config, workers: int | None = None) -> None:
    """Drop what takes time without changing the weights."""
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    for name in ('panels', 'visualization', 'results'):
        cfg.default_hooks.pop(name, None)
    if 'do_no_harm' in cfg.default_hooks:
        cfg.default_hooks.do_no_harm.update(
            interval=LOOK_EVERY, on_harm='report'
        )
    cfg.default_hooks.checkpoint.save_best = None
    # In short runs, trying kernels takes longer than the best ones save.
    cfg.env_cfg.cudnn_benchmark = False
    if stage_length(cfg):
        cfg.train_cfg.update(vals_per_stage=1, saves_per_stage=1)
    cfg.visualizer.vis_backends = [
        backend
        for backend in cfg.visualizer.vis_backends
        if 'Tensorboard' not in backend.type
    ]
    if workers is not None:
        for part in walk(cfg._cfg_dict):
            if part.get('num_workers'):
                part['num_workers'] = workers
                if not workers:
                    part['persistent_workers'] = False


def note_times(folder: Path) -> None:
    """Record the last run's step time and data time."""
    history = MessageHub.get_current_instance().log_scalars
    medians = {
        name: round(median(history[key].data[0].tolist()), 4)
        for name, key in STEP.items()
        if key in history
    }
    write_json(folder / TIMES, medians)


def measure(place: Place, row: Row) -> dict:
    """Train and score a row.

    Returns:
        The content of its file.
    """
    runs = place.runs(row.pair, row.seed)
    seconds = runs.train(row.name)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    scores = runs.score(row.name)
    variant = place.variants.get(row.name.removesuffix(REESTIMATED))
    alarms = read_lines(runs.folder / row.name / ALARMS, [])
    looks = read_lines(runs.folder / row.name / LOOKS, [])
    start = runs.start_of(row.name)
    begun = read_object(runs.folder / start / SCORES, []) if start else {}
    begun = [*begun.values()][: runs.stages_before(row.name) or None]
    write_json(runs.folder / row.name / SCORES, scores)
    return {
        'pair': row.pair,
        'name': row.name,
        'seed': row.seed,
        'config': runs.identity(row.name),
        'variant': variant._asdict() if variant else None,
        'scores': scores,
        'stages': runs.has_stages(row.name),
        'start': start,
        # Compare with exactly its start: no two GPU trainings are equal.
        'start_mIoU': begun[-1]['mIoU'] if begun else None,
        'steps': runs.steps(row.name),
        'seconds': seconds,
        **read_object(runs.folder / row.name / TIMES, []),
        'alarms': dict(Counter(a.get('alarm') for a in alarms)),
        'looks': len(looks),
        'harm': {k['iter']: k['reason'] for k in looks if k['lost']},
        'date': str(date.today()),
        **describe(),
    }

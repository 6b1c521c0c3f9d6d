# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Plan the runs of a label curve and their dependencies."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.rows.measure import spare
from benchmarks.rows.methods import Row
from mmengine.config import Config
from series import placed

from mmseg_cag.datasets.roles import ROLES, read_roles
from mmseg_cag.engine.records.provenance import provenance_of
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_config import load_config
from mmseg_cag.launch.cfg_options import merge_options
from mmseg_cag.launch.chain import last_checkpoint, set_work_dir
from mmseg_cag.launch.stages import walk

START, ORACLE, ALONE, BOTH = 'start', 'oracle', 'alone', 'both'
# Ways to rank images; without labels there is no ranking.
NOBODY = 'none'
TRAIN, *HELD = ROLES
CHOOSE, CERTIFY = HELD
TEST = 'test'


class Run(NamedTuple):
    """One training of a curve.

    Attributes:
        setting: Training data: the source (`START`), all labels (`ORACLE`),
            only some labels (`ALONE`), or some labels and all data of the
            method (`BOTH`; with 0 labels the method alone).
        by: How labelled images are chosen; `NOBODY` without any.
        labels: Number of labelled images.
        seed: Seed of the training and the choice.
    """

    setting: str
    by: str
    labels: int
    seed: int

    @property
    def name(self) -> str:
        """Name the run, without its seed."""
        if self.setting in (START, ORACLE):
            return self.setting
        return f'{self.setting}_{self.by}_{self.labels}'


class Choice(NamedTuple):
    """A ranking of images; each run uses the first ones."""

    by: str
    seed: int


@dataclass(frozen=True)
class Curve:
    """All runs of a command.

    Attributes:
        config: Config of the method with a few labels.
        alone: Config of a training on the labels alone, if requested.
        oracle: Config of a training on all labels, likewise.
        folder: Folder of the runs.
        labels: Numbers of labels, ascending.
        options: Overridden settings of the method's config.
        roles: Roles file with the images to choose and certify, if any.
        score_on: Its role to score on, or `TEST`: the test set.
        candidates: Names of the candidate images for labels.
        images: Number of candidates examined for a choice.
        workers: Data loading processes of a run; None for the config's.
    """

    config: str
    alone: str | None
    oracle: str | None
    folder: Path
    labels: tuple[int, ...]
    options: dict = field(default_factory=dict)
    roles: str | None = None
    score_on: str = TEST
    candidates: tuple[str, ...] = ()
    images: int = 1000
    workers: int | None = None

    @property
    def name(self) -> str:
        """Name the curve as its config."""
        return Path(self.config).stem

    def row(self, run: Run) -> Row:
        """Name the row of a run."""
        return Row(self.name, run.name, run.seed)

    def method(self) -> Config:
        """Load the config of the method.

        Raises:
            UserError: It uses no target labels.
        """
        cfg = read(self.config)
        merge_options(cfg, self.options)
        require_few(cfg, self.config)
        return cfg

    def start(self) -> str | None:
        """Return the config of the method's start network."""
        start = self.method().get('start_from')
        return os.path.normpath(start) if start else None

    def runs(self, ways: Sequence[str], seeds: Sequence[int]) -> list[Run]:
        """List the runs, one seed after another, few labels before many."""
        found = []
        for seed in seeds:
            settings = [START] * bool(self.start()) + [ORACLE] * bool(
                self.oracle
            )
            found += [Run(name, NOBODY, 0, seed) for name in settings]
            if 0 in self.labels:
                found.append(Run(BOTH, NOBODY, 0, seed))
            settings = [ALONE] * bool(self.alone) + [BOTH]
            found += [
                Run(setting, by, labels, seed)
                for labels in self.labels
                for by in ways
                for setting in settings
                if labels
            ]
        return found

    def plan(self, run: Run) -> Config:
        """Load a run's config, except its folder.

        Raises:
            UserError: A config is missing, starts from another network, or
                has labels of the target where the run has none.
        """
        cfg = self._load(run)
        cfg.launcher = 'none'
        cfg.randomness.seed = run.seed
        spare(cfg, self.workers)
        if run.setting in (ALONE, BOTH):
            take_labels(cfg, self.roles_file(choice_of(run), run.labels))
            if not run.labels:
                leave_out_few(cfg)
        return cfg

    def _load(self, run: Run) -> Config:
        if run.setting == BOTH:
            return self.method()
        if run.setting == START:
            starts = [*self._starts()]
            if not starts:
                raise UserError(f'{self.config}: start_from is not set')
            for path, one in starts:
                require_no_few(one, path)
            return starts[0][1]
        path = self.alone if run.setting == ALONE else self.oracle
        if path is None:
            raise UserError(f'{run.name}: expected --{run.setting} CONFIG')
        cfg, start = read(path), self.start()
        own = cfg.get('start_from')
        if own and os.path.normpath(own) != start:
            raise UserError(
                f'{path}: start_from={own}, expected none or that of '
                f'{self.config}'
            )
        check = require_few if run.setting == ALONE else require_no_few
        check(cfg, path)
        return cfg

    def _starts(self) -> Iterator[tuple[str, Config]]:
        """Yield the configs that the method starts from, the last first."""
        cfg, seen = self.method(), set()
        while (path := cfg.get('start_from')) and path not in seen:
            seen.add(path)
            options = cfg.get('start_options') or {}
            cfg = read(path)
            merge_options(cfg, options, 'start_options')
            yield path, cfg

    def train_config(self, run: Run) -> Config:
        """Load a run's training config."""
        cfg = self.plan(run)
        folder = self.folder_of(run)
        if run.setting == START:
            seed = dict(randomness=dict(seed=run.seed))
            cfg = placed(cfg, folder, lambda _: seed)
        elif cfg.get('start_from'):
            cfg.start_from = None
            cfg.load_from = str(self.checkpoint(start_of(run)))
        set_work_dir(cfg, str(folder))
        return cfg

    def folder_of(self, run: Run) -> Path:
        """Return the folder of a run; other settings give another one."""
        name = f'{run.name}-{self.identity(run)[:8]}'
        return self.folder / f'seed{run.seed}' / name

    def checkpoint(self, run: Run) -> Path:
        """Return the last checkpoint of a run."""
        cfg = self.plan(run)
        cfg.work_dir = str(self.folder_of(run))
        return last_checkpoint(cfg)

    def roles_file(self, choice: Choice, labels: int) -> Path:
        """Return the roles file of a choice's first images."""
        digest = _digest(self._ranking(choice))[:8]
        name = f'images_{choice.by}-{digest}'
        return self.folder / f'seed{choice.seed}' / name / f'{labels}.json'

    def needs(self, run: Run | Choice) -> list[Run | Choice]:
        """List what must be done before a run or a choice."""
        start = [start_of(run)] if self.start() else []
        if isinstance(run, Choice):
            return start if run.by not in ('random', NOBODY) else []
        if run.setting == START:
            return []
        if run.setting == ORACLE:
            return start if self.plan(run).get('start_from') else []
        first = start if self.plan(run).get('start_from') else []
        return [*first, choice_of(run)]

    def identity(self, run: Run) -> str:
        """Hash all that a run's score depends on, except its seed."""
        cfg = self.plan(run)
        has_start = run.setting != START and cfg.get('start_from')
        few = run.setting in (ALONE, BOTH)
        test = cfg.get('test_dataloader') or {}
        # Existing rows have a boolean for these two.
        scored = {TEST: False, CERTIFY: True}.get(self.score_on, self.score_on)
        for part in walk(cfg._cfg_dict):
            # Results do not depend on the location of the data.
            if part.get('data_root'):
                part['data_root'] = Path(part['data_root']).name
            if part.get('type') == 'RoleSubset':
                part['roles'] = None
        recipe = provenance_of(cfg)
        recipe.get('randomness', {}).pop('seed', None)
        return _digest(
            {
                'recipe': recipe,
                'labels': run.labels,
                'from': self.identity(start_of(run)) if has_start else None,
                'choice': self._ranking(choice_of(run), False) if few else 0,
                'scored on': [scored, test.get('dataset'), self._held()],
            }
        )[:16]

    def _ranking(self, choice: Choice, with_seed: bool = True) -> dict:
        ranks = choice.by not in ('random', NOBODY)
        found: dict[str, Any] = {'by': choice.by, 'held': self._held()}
        if choice.by != NOBODY:
            found |= {'of': self.candidates, 'images': self.images}
        if ranks:
            found['network'] = self.identity(start_of(choice))
            # With fewer images, another pool is examined.
            found['count'] = max(self.labels)
        return found | ({'seed': choice.seed} if with_seed else {})

    def _held(self) -> list[str]:
        if not self.roles:
            return []
        roles = read_roles(self.roles)
        return [one.image_sha256 for role in HELD for one in roles.of(role)]


@cache
def _config(path: str) -> Config:
    return load_config(path)


def read(path: str) -> Config:
    """Read a config, from its file only once: it takes 0.1 s."""
    return deepcopy(_config(path))


def start_of(run: Run | Choice) -> Run:
    """Return the run that a seed's other runs start from."""
    return Run(START, NOBODY, 0, run.seed)


def choice_of(run: Run) -> Choice:
    """Return the ranking that a run takes its labelled images from."""
    return Choice(run.by, run.seed)


def few_of(cfg: Config) -> Iterator[dict]:
    """List the datasets of labelled target images of a run."""
    yield from filter(_is_few, _parts(cfg))


def require_few(cfg: Config, path: str) -> None:
    """Check that a run trains on the labels that a curve counts.

    Raises:
        UserError: It does not.
    """
    if not any(few_of(cfg)):
        raise UserError(
            f'{path}: trains on no RoleSubset of the role {TRAIN}, expected a '
            'config with a few labels (docs/labels.md)'
        )


def require_no_few(cfg: Config, path: str) -> None:
    """Check that a start or an oracle trains on no labels of a roles file.

    Raises:
        UserError: It does, whatever the number of labels of the curve is.
    """
    if any(few_of(cfg)):
        raise UserError(
            f'{path}: trains on a RoleSubset of the role {TRAIN}, expected a '
            'start or an oracle without one (docs/labels.md)'
        )


def take_labels(cfg: Config, roles: Path) -> None:
    """Use the labelled images of a file; all others stay unlabelled.

    Args:
        cfg: The config, changed in place.
        roles: The roles file.
    """
    for part in _parts(cfg):
        if part.get('type') == 'RoleSubset':
            part.roles = str(roles)
        if _is_few(part):
            part.pop('first', None)  # all of the file


def leave_out_few(cfg: Config) -> None:
    """Remove the labelled target images.

    Raises:
        UserError: Nothing labelled would be left to train on.
    """
    for part in _parts(cfg):
        members = part.get('members') or {}
        rest = {n: None if _is_few(m) else m for n, m in members.items()}
        if any(rest.values()):
            members.update(rest)
    if any(few_of(cfg)):
        raise UserError(
            '--labels 0: the config has no other labels to train on, expected '
            'numbers from 1 on'
        )


def _parts(cfg: Config) -> Iterator[dict]:
    """List all parts of a run's training data."""
    for loader in ('train_dataloader', 'anchor_dataloader'):
        yield from walk(cfg.get(loader) or {})


def _is_few(part: Any) -> bool:
    return bool(part) and (part.get('type'), part.get('role')) == (
        'RoleSubset',
        TRAIN,
    )


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Find the runs that a network comes from, as checkpoints record them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import dropwhile, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

from mmengine.config import Config

from mmseg_cag.datasets.roles import Roles, read_roles
from mmseg_cag.engine.records.descent import OF_TARGET, descent_in
from mmseg_cag.engine.records.do_no_harm_hook import KEPT_AS, KEY
from mmseg_cag.engine.records.provenance import ROLES_FILE
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_config import parse_config
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.launch.stages import walk

# What a checkpoint can be chosen by: the validation set, or `DoNoHarmHook`.
VALIDATION, HARM = 'validation', 'harm'


@dataclass(frozen=True)
class Run:
    """A run that a network comes from.

    Attributes:
        cfg: Its config, as far as it is recorded.
        path: The checkpoint that records it.
        content: Content of the run's own checkpoint; empty if that of a later
            run records it.
    """

    cfg: Config
    path: Path
    content: dict = field(default_factory=dict)

    @property
    def chosen_by(self) -> set[str]:
        """Return what selected the checkpoint among others."""
        if not self.content:
            return set()
        meta = _meta(self.content)
        # What it copies; the descent of a training begins with its code.
        copied = takewhile(
            lambda one: one['kind'] in ('run', 'weights'), descent_in(meta)
        )
        names = [self.path.name]
        if KEY in meta:
            # Only a start that the hook kept may have been chosen otherwise.
            copied = dropwhile(lambda one: one['used_as'] != KEPT_AS, copied)
            names = []
        names += [one['name'] for one in copied]
        if any(name.startswith('best') for name in names):
            return {VALIDATION, HARM}
        return {HARM} if KEY in meta else set()

    @property
    def is_estimated(self) -> bool:
        """Return whether the target set statistics of its batch norms."""
        descent = descent_in(_meta(self.content))
        return any(one['used_as'] == OF_TARGET for one in descent)


@contextmanager
def as_recorded(run: Run) -> Iterator[tuple[Config, list[Roles]]]:
    """Yield a run's config with the roles files that it trained with.

    The files of that name may be others now. Yields these roles, too.
    """
    nodes = [
        *walk(_meta(run.content).get('provenance') or {}),
        *walk(run.cfg._cfg_dict),
    ]
    # The first are the run's own; the others of runs before it.
    texts = {
        node['roles']: node[ROLES_FILE]
        for node in reversed(nodes)
        if isinstance(node.get(ROLES_FILE), str)
    }
    cfg, recorded = deepcopy(run.cfg), []
    with TemporaryDirectory() as folder:
        for number, (path, text) in enumerate(texts.items()):
            copy = Path(folder, f'{number}.json')
            copy.write_text(text, encoding='utf-8')
            name = f'{path}, as {run.path} records it'
            recorded.append(replace(read_roles(copy), path=name))
            for node in walk(cfg._cfg_dict):
                node.pop(ROLES_FILE, None)
                if node.get('roles') == path:
                    node['roles'] = str(copy)
        yield cfg, recorded


def runs_of(path: Path, seen: set[Path] | None = None) -> Iterator[Run]:
    """Yield a checkpoint's run and those that it comes from.

    Args:
        path: The checkpoint.
        seen: Files that have had their turn; they may name each other.
    """
    seen = set() if seen is None else seen
    seen.add(path.resolve())
    content = read_checkpoint(path)
    run = Run(recorded_config(content, path), path, content)
    while True:
        yield run
        for node in walk(run.cfg.get('model') or {}):
            # The settings of a fixed `Teacher`.
            if {'config', 'checkpoint'} <= node.keys():
                yield from _runs_before(node['checkpoint'], path, seen)
        start = run.cfg.get('initialized_from')
        if not isinstance(start, dict):
            break
        run = Run(Config(start), path)
    yield from _runs_before(start, path, seen)


def _runs_before(
    parent: str | None, path: Path, seen: set[Path]
) -> Iterator[Run]:
    """Yield the runs of an earlier checkpoint; warn if it is missing."""
    # A later run may have overwritten it.
    if not parent or Path(parent).resolve() in seen:
        return
    if Path(parent).is_file():
        yield from runs_of(Path(parent), seen)
        return
    print(
        f'warning: {path}: the images of {parent}, which it comes from, are '
        'not compared, there is no such file'
    )


def recorded_config(content: dict, path: Path) -> Config:
    """Read the config in a checkpoint; empty, with a warning, if none.

    Args:
        content: The checkpoint.
        path: Its file.
    """
    text = _meta(content).get('cfg')
    try:
        if isinstance(text, str):
            return parse_config(text, str(path))
        reason = 'it contains no config'
    except UserError as error:
        reason = str(error)
    print(f'warning: {path}: only images of CONFIG are compared, {reason}')
    return Config()


def _meta(content: dict) -> dict:
    return content.get('meta') or {}

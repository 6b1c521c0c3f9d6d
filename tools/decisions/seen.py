# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Find the images that networks have seen, so that none is certified on."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import chain, dropwhile, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_cag.datasets.dataset_configs import hooks_of, leaves
from mmseg_cag.datasets.roles import (
    Roles,
    file_sha256,
    image_name,
    read_roles,
)
from mmseg_cag.engine.records.comparison import images_to_choose_by
from mmseg_cag.engine.records.descent import OF_TARGET, descent_in
from mmseg_cag.engine.records.do_no_harm_hook import KEPT_AS, KEY
from mmseg_cag.engine.records.provenance import ROLES_FILE
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_config import parse_config
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.launch.stages import walk

from .held_out import HeldOut, roles_path
from .near_duplicates import near_pairs, thumbnails

TRAINED, CHOSEN = 'was trained on', 'was chosen on'
ESTIMATED = 'set the statistics of batch norms'
# What a checkpoint can be chosen by: the validation set, or `DoNoHarmHook`.
VALIDATION, HARM = 'validation', 'harm'


@dataclass(frozen=True)
class Seen:
    """An image used for training or selection.

    Attributes:
        name: Its file, or its name in a roles file.
        use: Its use, as a phrase that follows 'which'.
        sha256: Hash of the file, if it is recorded.
        path: The file, if it is known.
        backend_args: Arguments of its mmengine file backend.
    """

    name: str
    use: str
    sha256: str | None = None
    path: str | None = None
    backend_args: dict | None = None


def seen_images(
    cfg: Config,
    checkpoints: Sequence[Path],
    held: HeldOut,
    roles: Roles | None,
) -> list[Seen]:
    """List the images used to train or select networks.

    The config in a checkpoint counts, too: it may differ from the run's. So
    do the runs that the network started from or learnt from.

    Args:
        cfg: The run's config.
        checkpoints: The networks.
        held: The images to certify on.
        roles: Their roles file, if any.
    """
    runs: list[Run] = []
    for path in checkpoints:
        runs += runs_of(path)
    own = [run.chosen_by for run in runs if run.path in checkpoints]
    is_estimated = any(run.is_estimated for run in runs)
    found = [*images_of_run(cfg, {*chain(*own)}, is_estimated=is_estimated)]
    files = [roles] if roles else []
    if path := roles_path(cfg):
        files.append(read_roles(path))
    for run in runs:
        found += images_of_threshold(run.content, run.path)
        with as_recorded(run) as (then, recorded):
            found += images_of_run(
                then, run.chosen_by, run.path, run.is_estimated
            )
            files += recorded
        if Path(path := roles_path(run.cfg) or '').is_file():
            files.append(read_roles(path))
    for one in files:
        found += images_of_roles(one, held)
    return found


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


def images_of_run(
    cfg: Config,
    chosen_by: Collection[str] = (),
    origin: Path | None = None,
    is_estimated: bool = False,
) -> Iterator[Seen]:
    """List the images that a run trains on, or selects a checkpoint by.

    Args:
        cfg: The run's config.
        chosen_by: What selected the checkpoint among others.
        origin: Checkpoint that the config is from, whose data may be missing
            on this machine: a warning is printed then.
        is_estimated: Whether the target set statistics of batch norms, as it
            does by a `NormStatisticsHook`, too.
    """
    for use, key, part in _datasets(cfg, chosen_by, is_estimated):
        try:
            if origin:
                _require_plain_types(part)
            dataset = DATASETS.build({**part, 'pipeline': []})
        except Exception as error:  # wrong settings can raise anything
            reason = str(error).partition('\n')[0]
            if origin is None:
                raise UserError(
                    f'{key}: its images cannot be compared, {reason}'
                ) from error
            print(
                f'warning: {origin}: the images of its {key} are not '
                f'compared, {reason}'
            )
            continue
        for index in range(len(dataset)):
            path = dataset.get_data_info(index)['img_path']
            yield Seen(path, use, None, path, dataset.backend_args)


def _datasets(
    cfg: Config, chosen_by: Collection[str], is_estimated: bool
) -> Iterator[tuple[str, str, dict]]:
    """Yield use, key and config of each data set."""
    uses = dict.fromkeys(('train_dataloader', 'anchor_dataloader'), TRAINED)
    if VALIDATION in chosen_by:
        uses['val_dataloader'] = CHOSEN
    found = [
        (use, f'{loader}.dataset', (cfg.get(loader) or {}).get('dataset'))
        for loader, use in uses.items()
    ]
    for hook in hooks_of(cfg) if HARM in chosen_by else ():
        if hook.get('type') == 'DoNoHarmHook':
            key = 'default_hooks.do_no_harm.labelled'
            labelled = hook.get('labelled') or images_to_choose_by(cfg)
            found.append((CHOSEN, key, labelled))
    hooks = {hook.get('type') for hook in hooks_of(cfg)}
    train = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    if is_estimated or 'NormStatisticsHook' in hooks:
        # Read if training has no target.
        if not (train.get('domains') or {}).get('target'):
            key = 'target_dataset'
            found.append((ESTIMATED, key, cfg.get(key)))
    for use, key, dataset in found:
        for place, _, part in leaves(dataset, key, whole=('RoleSubset',)):
            if part:
                yield use, place, part


def _require_plain_types(part: dict) -> None:
    """Check that building a recorded data set imports nothing.

    Raises:
        UserError: A type is a dotted name, which would be imported.
    """
    for node in walk(part):
        if '.' in (kind := str(node.get('type', ''))):
            raise UserError(f'{kind} is no plain name of a class')


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


def images_of_threshold(content: dict, path: Path) -> Iterator[Seen]:
    """List the images that a frozen threshold was chosen on."""
    frozen = content.get('threshold', {}).get('image_sha256', {})
    for name, sha256 in frozen.items():
        yield Seen(name, f'set the threshold of {path}', sha256)


def images_of_roles(roles: Roles, held: HeldOut) -> Iterator[Seen]:
    """List the images that a roles file reserves for training or selection.

    Args:
        roles: The roles file.
        held: The images to certify on, in whose data set its images are
            looked up.
    """
    dataset = held.dataset
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    path_by_name = {image_name(dataset, path): path for path in paths}
    for role in ('train', 'choose'):
        use = f'has the role {role} in {roles.path}'
        for one in roles.of(role):
            path = path_by_name.get(one.image)
            yield Seen(
                one.image, use, one.image_sha256, path, dataset.backend_args
            )


def require_unseen(held: HeldOut, seen: Sequence[Seen]) -> None:
    """Refuse a set that contains an image used for training or selection.

    Compares the contents of the files.

    Raises:
        UserError: It contains such an image.
    """
    backend = held.dataset.backend_args
    own = {file_sha256(path, backend): path for path in held.paths}
    sizes = {_size(path) for path in held.paths}
    for one in seen:
        sha256 = one.sha256
        if sha256 is None:
            # If lengths are known, only files of equal length are read.
            if None not in sizes and _size(one.path) not in {*sizes, None}:
                continue
            sha256 = file_sha256(one.path, one.backend_args)
        if sha256 in own:
            raise UserError(
                f'{own[sha256]}: the same image as {one.name}, which '
                f'{one.use}; expected images unused for training and selection'
            )


def _size(path: str) -> int | None:
    """Return a file's length; None if only its backend knows it."""
    try:
        return os.path.getsize(path)
    except OSError:
        return None


def near_seen(
    held: HeldOut, seen: Sequence[Seen], at_most: int = 5000
) -> list[tuple[str, str]]:
    """List near-duplicates of images used for training or selection.

    Args:
        held: The images to certify on.
        seen: Images used for training or selection.
        at_most: Number of images compared per use, evenly spaced.
    """
    own = thumbnails(held.paths, held.dataset.backend_args)
    first = {one.path: one for one in reversed(seen) if one.path}
    by_use: dict[str, list[Seen]] = {}
    for one in reversed(first.values()):
        by_use.setdefault(one.use, []).append(one)
    pairs = []
    for images in by_use.values():
        step = -(-len(images) // at_most) or 1
        for one in images[::step]:
            near = near_pairs(own, thumbnails([one.path], one.backend_args))
            pairs += [(held.paths[i], one.path) for i, _ in near]
    return pairs

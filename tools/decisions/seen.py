# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Find the images that networks have seen, so that none is certified on."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_cag.datasets.dataset_configs import hooks_of, leaves
from mmseg_cag.datasets.roles import (
    Roles,
    file_sha256,
    image_name,
    read_roles,
)
from mmseg_cag.engine.records.comparison import (
    LABELLED,
    images_to_choose_by,
)
from mmseg_cag.errors import UserError
from mmseg_cag.launch.stages import walk

from .held_out import HeldOut, roles_path
from .near_duplicates import near_pairs, thumbnails
from .runs import HARM, VALIDATION, as_recorded, runs_of

TRAINED, CHOSEN = 'was trained on', 'was chosen on'
ESTIMATED = 'set the statistics of batch norms'


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
    runs = [*chain.from_iterable(map(runs_of, checkpoints))]
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
            labelled = hook.get('labelled') or images_to_choose_by(cfg)
            found.append((CHOSEN, LABELLED, labelled))
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

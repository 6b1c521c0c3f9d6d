# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Read a run's folder: its config, as data, and its checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from mmseg_cag.datasets.dataset_configs import class_info
from mmseg_cag.engine.loops import total_iters
from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.safe_config import parse_config
from mmseg_cag.launch.cfg_options import merge_options
from mmseg_cag.launch.stages import stage_length, walk

CHECKPOINT = re.compile(r'iter_(\d+)\.pth')
SECTIONS = ('model', 'train_cfg')
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@dataclass(frozen=True)
class Run:
    """A work dir with the config of its last start.

    Attributes:
        folder: The work dir.
        cfg: The config; None if missing or damaged.
    """

    folder: Path
    cfg: Config | None

    @cached_property
    def checkpoints(self) -> dict[int, Path]:
        """Return the kept checkpoints by iteration, ascending.

        Excludes best checkpoints, which were selected on labels.
        """
        found = {
            int(match[1]): path
            for path in self.folder.glob('iter_*.pth')
            if (match := CHECKPOINT.fullmatch(path.name))
        }
        return dict(sorted(found.items()))

    @property
    def max_iters(self) -> int | None:
        """Return the planned iterations; None if unknown."""
        try:
            return total_iters((self.cfg or {}).get('train_cfg') or {})
        except UserError:
            return None

    @property
    def stage_iters(self) -> int | None:
        """Return the iterations of a stage; None without stages."""
        return stage_length(self.cfg) if self.cfg else None

    @property
    def first_stage(self) -> int:
        """Return the number, from 1, of the run's first stage."""
        loop = (self.cfg or {}).get('train_cfg') or {}
        first = loop.get('first_stage')
        return first if isinstance(first, int) else 1

    def stage_of(self, iteration: int) -> int | None:
        """Return the number, from 1, of the stage of an iteration."""
        length = self.stage_iters
        if not length:
            return None
        return -(-iteration // length) + self.first_stage - 1

    @property
    def stage_ends(self) -> dict[str, Path]:
        """Return each stage's last checkpoint, or the run's, by title."""
        ends = {}
        for iteration, path in self.checkpoints.items():
            stage = self.stage_of(iteration)
            ends[f'Stage {stage}' if stage else 'Last checkpoint'] = path
        return ends

    @cached_property
    def metainfo(self) -> dict:
        """Return the target's class names and colours, if known."""
        try:
            return class_info(self.cfg or {})
        # A damaged config, or one of another version, may raise anything.
        except Exception:
            return {}

    @property
    def classes(self) -> list[str]:
        """Return the names of the evaluated classes."""
        return list(self.metainfo.get('classes', ()))

    @property
    def seed(self) -> int | None:
        """Return the training seed."""
        return (self.cfg or {}).get('randomness', {}).get('seed')


def open_run(folder: Path, options: dict | None = None) -> Run:
    """Find a run's config and checkpoints.

    Args:
        folder: Its work dir.
        options: Settings to override, such as the data's location.

    Raises:
        MissingFileError: The folder, its config or checkpoints are missing.
        UserError: The config is damaged.
    """
    if not folder.is_dir():
        raise MissingFileError(f'{folder}: no such work dir')
    if not Run(folder, None).checkpoints:
        raise MissingFileError(
            f'{folder}: no checkpoint iter_*.pth, expected the work dir of a '
            'run'
        )
    cfg = read_config(folder)
    if options:
        merge_options(cfg, options)
    return Run(folder, cfg)


def read_config(folder: Path) -> Config:
    """Read the config that a runner dumped into its work dir.

    Raises:
        MissingFileError: There is none.
        UserError: It is damaged.
    """
    paths = dumped_configs(folder)
    if not paths:
        raise MissingFileError(f'{folder}: no config *.py of the run')
    return read_dumped_config(paths[-1])


def read_starts(
    folder: Path, problems: list[str]
) -> tuple[list[Path], list[Config]]:
    """Find the starts of a folder's last run, and read their configs.

    Those before the last one that trained without resuming are of earlier
    runs in the same folder.

    Args:
        folder: The work dir.
        problems: Takes a line for each damaged config.

    Returns:
        The folders of their logs, and their configs, the earliest first.
    """
    starts = sorted(path.parent for path in folder.glob('*/vis_data'))
    paths = [start / 'vis_data' / 'config.py' for start in starts]
    paths = [path for path in paths if path.is_file()]
    configs: list[Config] = []
    for path in paths or dumped_configs(folder):
        try:
            cfg = read_dumped_config(path)
        except UserError as error:
            problems.append(str(error).replace(str(folder), '').lstrip('/'))
            continue
        # A test, too, does not resume; it writes no scalars.
        has_trained = path.with_name('scalars.json').is_file()
        if has_trained and not cfg.get('resume'):
            configs.clear()
            starts = [start for start in starts if start >= path.parents[1]]
        configs.append(cfg)
    return starts, configs


def find_start_checkpoint(
    folder: Path, configs: Iterable[Config]
) -> Path | None:
    """Find the checkpoint that a run was first started from.

    A resumed run later names one of its own, in the folder that it was then
    in. Runs moved together are found as neighbours.

    Args:
        folder: The run's work dir.
        configs: Configs that it was started with.
    """
    folder = folder.resolve()
    for cfg in configs:
        named = cfg.get('load_from')
        if not named:
            continue
        path = Path(named)
        own = Path(cfg.get('work_dir') or folder)
        if path.parent.resolve() in (folder, own.resolve()):
            continue
        neighbour = folder.parent / path.parent.name / path.name
        is_moved = not path.is_file() and neighbour.is_file()
        return neighbour if is_moved and neighbour.parent != folder else path
    return None


def dumped_configs(folder: Path) -> list[Path]:
    """List the configs that runners dumped into a work dir, newest last.

    Those that train nothing, such as an exported student's, are left out.
    """
    paths = sorted(folder.glob('*.py'), key=lambda path: path.stat().st_mtime)
    return [path for path in paths if _trains(path)] or paths


def _trains(path: Path) -> bool:
    """Whether a config trains, or may: a damaged one is an error later."""
    try:
        cfg = parse_config(path.read_text(encoding='utf-8'), str(path))
    except (OSError, UnicodeError, UserError):
        return True
    return not {'train_cfg', 'train_dataloader'}.isdisjoint(cfg)


def read_dumped_config(path: Path) -> Config:
    """Read the config that a runner dumped into its work dir.

    It is read as data, because the folder may be untrusted: no line of it is
    executed, and only registered classes are accepted.

    Args:
        path: The file, as mmengine dumps it.

    Raises:
        MissingFileError: There is no such file.
        UserError: It is damaged, or holds more than plain data.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except FileNotFoundError as error:
        raise MissingFileError(f'{path}: config file not found') from error
    except (OSError, UnicodeError) as error:
        raise UserError(f'{path}: cannot be read ({error})') from error
    cfg = parse_config(text, str(path))
    for node in walk(cfg.to_dict()):
        name = str(node.get('type', ''))
        # mmengine would import and call any dotted name.
        if '.' in name:
            raise UserError(
                f'{path}: its config has the type {name!r}, expected the name '
                'of a registered class'
            )
    _require_sections(cfg, path)
    _import_own(cfg, path)
    return cfg


def _require_sections(cfg: Config, path: Path) -> None:
    """Check the sections of a run's config that are present."""
    for key in SECTIONS:
        if not isinstance(cfg.get(key), dict | None):
            raise UserError(f'{path}: {key} is no dict(...)')
    for key in LOADERS:
        loader = cfg.get(key)
        dataset = loader.get('dataset') if isinstance(loader, dict) else None
        if loader is not None and not (
            isinstance(dataset, dict) and isinstance(dataset.get('type'), str)
        ):
            raise UserError(
                f'{path}: {key} has no data set, expected '
                'dataset=dict(type=...)'
            )


def _import_own(cfg: Config, path: Path) -> None:
    """Import the installed modules with the user's classes."""
    if 'custom_imports' not in cfg:
        return
    try:
        import_modules_from_strings(**cfg.custom_imports)
    # A failing import may raise anything.
    except Exception as error:
        raise UserError(
            f'{path}: its custom_imports cannot be imported ({error})'
        ) from error

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Run BDL's loop as one resumable command."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.dist import barrier
from mmengine.logging import print_log

from mmseg_cag.errors import UserError
from mmseg_cag.launch.cfg_options import merge_options
from mmseg_cag.launch.chain import load_run
from mmseg_cag.launch.run_lock import locked
from mmseg_cag.launch.stages import set_iters

from .steps import Labelling, LoopStep, Training, Translation

# Input of a step, and the kind of step that produces it.
INPUTS = {'images': Translation, 'labels': Labelling, 'perceptual': Training}
# For a folder: its domain, its key, and the transform that reads it.
FOLDERS = {
    'images': ('source', 'img_path', 'LoadTranslatedImage'),
    'labels': ('target', 'seg_map_path', 'LoadPseudoLabels'),
}
# Kinds of steps by config key, and the other keys they accept.
KINDS = {
    'train': {*INPUTS, 'iters', 'options'},
    'translate': set(),
    'label': set(),
}


def load_steps(cfg: Config) -> list[LoopStep]:
    """Build the steps of a loop, in order.

    Args:
        cfg: The loop's config: ``steps``, ``options`` of all its runs,
            ``work_dir`` and ``launcher``.

    Raises:
        MissingFileError: The config of a run does not exist.
        UserError: A step is invalid, or needs an input that no earlier step
            produces.
    """
    if not cfg.get('steps'):
        raise UserError(f'{cfg.filename}: steps is missing, expected a list')
    steps: dict[str, LoopStep] = {}
    for index, spec in enumerate(cfg.steps):
        key = f'steps.{index}'
        kind = _kind_of(spec, key)
        if spec.name in steps:
            raise UserError(f'{key}.name={spec.name}: an earlier step has it')
        if kind == 'train':
            step = _training(cfg, spec, key, steps)
        else:
            by = find_step(Training, spec[kind], f'{key}.{kind}', steps)
            maker = Translation if kind == 'translate' else Labelling
            step = maker(spec.name, Path(cfg.work_dir, spec.name), {'by': by})
        steps[spec.name] = step
    return list(steps.values())


def _kind_of(spec: ConfigDict, key: str) -> str:
    kinds = [kind for kind in KINDS if kind in spec]
    if len(kinds) != 1 or 'name' not in spec:
        raise UserError(
            f'{key}: has {", ".join(spec)}, expected name and one of '
            f'{", ".join(KINDS)}'
        )
    [kind] = kinds
    if unknown := sorted(set(spec) - KINDS[kind] - {'name', kind}):
        known = ', '.join(['name', kind, *sorted(KINDS[kind])])
        raise UserError(
            f'{key}: has {", ".join(unknown)}, expected of {known}'
        )
    return kind


def _training(
    loop: Config, spec: ConfigDict, key: str, steps: dict[str, LoopStep]
) -> Training:
    shared = loop.get('options') or {}
    cfg = load_run(
        spec.train, shared, loop.launcher, f'{key}.train', 'options'
    )
    merge_options(cfg, spec.get('options') or {}, f'{key}.options')
    if 'iters' in spec:
        _set_iters(cfg, spec, key)
    needs = put_in_inputs(cfg, spec, key, steps)
    return Training(spec.name, Path(loop.work_dir, spec.name), needs, cfg)


def _set_iters(cfg: Config, spec: ConfigDict, key: str) -> None:
    schedulers = cfg.get('param_scheduler') or []
    types = {scheduler['type'] for scheduler in schedulers}
    if types != {'PolyRestartLR'}:
        raise UserError(
            f'{key}.iters={spec.iters}: {spec.train} has another schedule '
            f'than PolyRestartLR, expected {key}.options to shorten it'
        )
    set_iters(cfg, spec.iters)


def train_loop(cfg: Config, until: str | None = None) -> None:
    """Run the steps of a loop, skipping finished ones.

    Args:
        cfg: The loop's config, with ``work_dir`` and ``launcher``.
        until: Name of the last step to run; by default the last one.

    Raises:
        UserError: A step cannot run, or a folder contains the result of other
            settings or inputs.
    """
    steps = load_steps(cfg)
    names = [step.name for step in steps]
    if until is not None:
        if until not in names:
            raise UserError(
                f'--until {until}: no such step, expected one of '
                f'{", ".join(names)}'
            )
        steps = steps[: names.index(until) + 1]
    for step in steps:
        step.check()
    with locked([cfg]):
        for position, step in enumerate(steps, start=1):
            which = f'step {position} of {len(steps)}'
            print_log(f'{which}: {step.name}', 'current')
            step.run()
            barrier()


def put_in_inputs(
    cfg: Config, spec: ConfigDict, key: str, steps: dict[str, LoopStep]
) -> dict[str, LoopStep]:
    """Insert a run's inputs: from earlier steps or user folders.

    Args:
        cfg: The run's config, changed in place.
        spec: The run's entry in the loop's config.
        key: Config key of that entry.
        steps: The earlier steps, by name.

    Returns:
        The steps that produce the inputs, by role.

    Raises:
        UserError: No earlier step produces an input, or the run cannot use it.
    """
    needs = {}
    for role in (role for role in INPUTS if role in spec):
        name, at = spec[role], f'{key}.{role}'
        if role in FOLDERS and name not in steps and Path(name).is_dir():
            put_in_folder(cfg, role, Path(name), at)
            continue
        needs[role] = find_step(INPUTS[role], name, at, steps)
        if role in FOLDERS:
            put_in_folder(cfg, role, needs[role].folder, at)
        else:
            put_in_network(cfg, needs[role])
    return needs


def find_step(
    kind: type[LoopStep], name: str, key: str, steps: dict[str, LoopStep]
) -> LoopStep:
    """Find an earlier step.

    Args:
        kind: Expected kind.
        name: Its name.
        key: Config key that names it, for the error.
        steps: The earlier steps, by name.

    Raises:
        UserError: There is no step with this name and kind.
    """
    names = [n for n, step in steps.items() if isinstance(step, kind)]
    if name not in names:
        or_folder = '' if kind is Training else ', or a folder'
        raise UserError(
            f'{key}={name}: expected an earlier step of kind {kind.__name__} '
            f'({", ".join(names) or "there is none"}){or_folder}'
        )
    return steps[name]


def put_in_folder(cfg: Config, role: str, folder: Path, key: str) -> None:
    """Make a run read translated images or pseudo labels from a folder."""
    domain, prefix, loader = FOLDERS[role]
    domains = cfg.train_dataloader.dataset.get('domains') or {}
    dataset = domains.get(domain) or {}
    if loader not in [step['type'] for step in dataset.get('pipeline', [])]:
        raise UserError(
            f'{key}: train_dataloader.dataset.domains.{domain} of '
            f'{cfg.filename} reads none, expected {loader} in its pipeline'
        )
    # Absolute: mmengine would resolve it within data_root.
    dataset.data_prefix[prefix] = str(folder.resolve())


def put_in_network(cfg: Config, by: Training) -> None:
    """Give a translator the perceptual loss of a trained network."""
    cfg.model.perceptual = dict(
        cfg.model.get('perceptual') or {},
        type='PerceptualLoss',
        segmentor=by.cfg.model,
        checkpoint=str(by.result),
    )

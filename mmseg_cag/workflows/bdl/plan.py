# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""BDL's loop as one command, restarted where it stopped."""

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

from .inputs import INPUTS, find_step, put_in_inputs
from .steps import Labelling, LoopStep, Training, Translation

# What a step does, by the key that says so, and what else it may take.
KINDS = {
    'train': {*INPUTS, 'iters', 'options'},
    'translate': set(),
    'label': set(),
}


def load_steps(cfg: Config) -> list[LoopStep]:
    """Make the steps of a loop, in order.

    Args:
        cfg: The loop's config: ``steps``, ``options`` of all its runs,
            ``work_dir`` and ``launcher``.

    Raises:
        MissingFileError: The config of a run does not exist.
        UserError: A step is not understood, or takes what no earlier step
            makes.
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
    """Run the steps of a loop, each unless its result is there.

    Args:
        cfg: The loop's config, with ``work_dir`` and ``launcher``.
        until: Name of the step to end with; by default the last.

    Raises:
        UserError: A step cannot run, or a folder holds the result of other
            settings or of other inputs.
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

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Find and load the networks that a report compares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config
from mmseg.models.segmentors import EncoderDecoder

from mmseg_cag.analysis.runs.labeling_network import (
    LabelingNetwork,
    load_labeling_network,
)
from mmseg_cag.analysis.runs.network import (
    State,
    build_network,
    read_state,
    teacher_state,
)
from mmseg_cag.analysis.runs.run import find_start_checkpoint
from mmseg_cag.errors import UserError

from .run import RecordedRun, read_run


class Loaded(NamedTuple):
    """A network with the teacher of its stage.

    Attributes:
        state: All weights of the checkpoint.
        model: The network.
        teacher: Its stage's teacher; None for a start or a method without.
    """

    state: State
    model: EncoderDecoder
    teacher: LabelingNetwork | None


def load_network(network: Network) -> Loaded:
    """Build a network as in its run.

    Raises:
        UserError: Its checkpoint or config is missing, or they do not match.
    """
    path, cfg = network.checkpoint, network.cfg
    if path is None or cfg is None:
        lacking = 'checkpoint' if cfg else 'readable config'
        raise UserError(f'{network.title}: no {lacking} was kept')
    state = read_state(path)
    if network.is_teacher:
        state = teacher_state(state)
    try:
        model = build_network(cfg, state, path)
        teacher = None
        if state.get('stage') and not network.is_start:
            teacher = load_labeling_network(cfg, teacher_state(state), path)
            if 'anchor' in teacher.head.by and not teacher.has_anchors:
                teacher = None  # its labels are of another kind, as ProDA's
    except UserError:
        raise
    # A config of another version may fail anywhere.
    except Exception as error:
        line = str(error).strip().partition('\n')[0]
        raise UserError(
            f'{path}: does not match the network of its config ({line})'
        ) from error
    return Loaded(state, model, teacher)


@dataclass(frozen=True)
class Network:
    """A network at some iteration.

    Attributes:
        title: Title, such as "source only" or "stage 2".
        cfg: Its training config; None if unreadable.
        checkpoint: Its checkpoint; None if it was not kept.
        iteration: Iteration of the run that trained it.
        validation: Its recorded validation results; may be empty.
        is_start: Whether the run started from it.
        is_teacher: Whether it is the checkpoint's teacher.
    """

    title: str
    cfg: Config | None
    checkpoint: Path | None
    iteration: int
    validation: dict
    is_start: bool = False
    is_teacher: bool = False


def list_networks(run: RecordedRun) -> list[Network]:
    """List a run's start, the end of each stage and the last network."""
    start = find_start(run)
    own = [
        Network(
            title=name_stage(run, iteration),
            cfg=run.cfg,
            checkpoint=run.checkpoints.get(iteration),
            iteration=iteration,
            validation=run.validations.get(iteration, {}),
        )
        for iteration in moments(run)
    ]
    if start and start.title in [network.title for network in own]:
        start = replace(start, title=f'before: {start.title}')
    return [start, *own] if start else own


def moments(run: RecordedRun) -> list[int]:
    """List the iterations with a checkpoint or results."""
    known = {*run.checkpoints, *run.mean_iou}
    if not known:
        return []
    return sorted({*(known & {*run.boundaries}), max(known)})


def name_stage(run: RecordedRun, iteration: int) -> str:
    """Title the network of an iteration."""
    if run.stage_iters and iteration % run.stage_iters == 0:
        return f'stage {run.stage_of(iteration)}'
    if iteration == run.max_iters:
        return 'last'
    return f'iteration {iteration}'


def find_start(run: RecordedRun) -> Network | None:
    """Find the network that a run started from."""
    checkpoint = find_start_checkpoint(run.folder, run.configs)
    if checkpoint is None:
        return None
    number = checkpoint.stem.removeprefix('iter_')
    iteration = int(number) if number.isdigit() else 0
    try:
        source = read_run(checkpoint.parent)
    except ValueError:
        source = None
    is_kept = checkpoint.is_file()
    return Network(
        title=checkpoint.parent.name.replace('_', ' ') or 'before',
        cfg=source.cfg if is_kept and source and source.cfg else run.cfg,
        checkpoint=checkpoint if is_kept else first_checkpoint(run),
        iteration=iteration,
        validation=source.validations.get(iteration, {})
        if source and _are_alike(source, run)
        else {},
        is_start=True,
        is_teacher=not is_kept,
    )


def _are_alike(*runs: RecordedRun) -> bool:
    """Whether runs validated on the same images."""
    loaders = [(run.cfg or {}).get('val_dataloader') or {} for run in runs]
    first, second = (loader.get('dataset') for loader in loaders)
    return first == second


def first_checkpoint(run: RecordedRun) -> Path | None:
    """Find a first-stage checkpoint, whose teacher is the start."""
    for iteration, path in run.checkpoints.items():
        if run.stage_of(iteration) == run.first_stage:
            return path
    return None

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What ran: the lines of the report's first table."""

from __future__ import annotations

from mmengine.config import Config

from mmseg_cag.fileio.json_file import numbers
from mmseg_cag.launch.stages import walk

from .networks import find_start_checkpoint
from .run import RecordedRun


def list_facts(run: RecordedRun) -> dict[str, str | None]:
    """List what a run was, None where nothing tells."""
    return {
        'State': describe_state(run),
        'Started from': text_of(find_start_checkpoint(run)),
        'Method': method_of(run.cfg),
        'Stages': text_of(describe_stages(run)),
        'Seed': text_of(run.seed),
        'Data': describe_data(run.cfg),
        'Images of a batch': batch_of(run.cfg),
        'Classes': text_of(len(run.classes) or None),
        'Time': format_seconds(run.seconds),
        'GPU memory': describe_memory(run),
        'Versions': describe_versions(run),
        'Work dir': str(run.folder),
    }


def text_of(value: object) -> str | None:
    """Write a value, None where there is none."""
    return None if value is None else str(value)


def describe_state(run: RecordedRun) -> str:
    """Say how far a run came."""
    if not run.max_iters:
        return f'iteration {run.iteration}, of unknown length'
    if run.iteration >= run.max_iters:
        return f'finished, {run.max_iters} iterations'
    return f'at iteration {run.iteration} of {run.max_iters}, not finished'


def describe_stages(run: RecordedRun) -> str | None:
    """Say how the stages divide a run."""
    if not run.stage_iters:
        return 'none'
    if not run.max_iters:
        return f'of {run.stage_iters} iterations'
    count = run.max_iters // run.stage_iters
    return f'{count} of {run.stage_iters} iterations'


def method_of(cfg: Config | None) -> str | None:
    """Name the segmentor and its backbone."""
    model = cfg.get('model') if cfg else None
    if not model:
        return None
    backbone = model.get('backbone', {}).get('type', '')
    return f'{model.get("type")} on {backbone}' if backbone else model['type']


def batch_of(cfg: Config | None) -> str | None:
    """Find the batch size of a process."""
    return text_of((cfg or {}).get('train_dataloader', {}).get('batch_size'))


def describe_data(cfg: Config | None) -> str | None:
    """List the data sets that are trained on and evaluated."""
    lines = []
    for name in ('train_dataloader', 'val_dataloader'):
        for node in walk((cfg or {}).get(name, {}).get('dataset', {})):
            if 'data_root' in node:
                kind = 'validation' if name.startswith('val') else 'training'
                lines.append(f'{kind}: {node["type"]} ({node["data_root"]})')
    return '; '.join(lines) or None


def format_seconds(seconds: float | None) -> str | None:
    """Write a duration for a reader."""
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours} h {minutes} min' if hours else f'{minutes} min {rest} s'


def describe_memory(run: RecordedRun) -> str | None:
    """Find the most memory of the GPU, which a CPU run does not log."""
    if run.environment.get('CUDA available') == 'False':
        return 'no GPU'
    used = [m for n in run.training if (m := numbers(n).get('memory'))]
    return f'{max(used) / 1024:.1f} GiB' if used else None


def describe_versions(run: RecordedRun) -> str | None:
    """List versions and devices."""
    pairs = (f'{k} {v}' for k, v in run.environment.items())
    return ', '.join(pairs) or None

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a run takes from earlier steps, put into its config."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmseg_cag.errors import UserError

from .steps import Labelling, LoopStep, Training, Translation

# What is taken, and the kind of step that makes it.
INPUTS = {'images': Translation, 'labels': Labelling, 'perceptual': Training}
# Of a folder: the domain whose it is, its key, and the step that reads it.
FOLDERS = {
    'images': ('source', 'img_path', 'LoadTranslatedImage'),
    'labels': ('target', 'seg_map_path', 'LoadPseudoLabels'),
}


def put_in_inputs(
    cfg: Config, spec: ConfigDict, key: str, steps: dict[str, LoopStep]
) -> dict[str, LoopStep]:
    """Put in what a run takes: of earlier steps, or folders of the user's.

    Args:
        cfg: The run's config, changed in place.
        spec: What the loop's config says of the run.
        key: Where it says so.
        steps: The earlier steps, by name.

    Returns:
        The steps that something is taken of, by what it is.

    Raises:
        UserError: No earlier step makes such a thing, or the run cannot take
            it.
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
        kind: What it is to be.
        name: Its name.
        key: What names it, for the error.
        steps: The earlier steps, by name.

    Raises:
        UserError: There is none of this name and kind.
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
    """Let a run read translated images, or pseudo labels, of a folder."""
    domain, prefix, loader = FOLDERS[role]
    dataset = cfg.train_dataloader.dataset.domains.get(domain) or {}
    if loader not in [step['type'] for step in dataset.get('pipeline', [])]:
        raise UserError(
            f'{key}: train_dataloader.dataset.domains.{domain} of '
            f'{cfg.filename} reads none, expected {loader} in its pipeline'
        )
    # Absolute: mmengine would take it to be within data_root.
    dataset.data_prefix[prefix] = str(folder.resolve())


def put_in_network(cfg: Config, by: Training) -> None:
    """Give a translator the perceptual loss of a trained network."""
    cfg.model.perceptual = dict(
        cfg.model.get('perceptual') or {},
        type='PerceptualLoss',
        segmentor=by.cfg.model,
        checkpoint=str(by.result),
    )

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Work of a label curve's process: choose images, or train and score."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from time import monotonic

import numpy as np
from benchmarks.rows.machine import describe
from benchmarks.rows.measure import TIMES, note_times
from benchmarks.rows.work import plain_text
from decisions.counting import count
from decisions.held_out import HeldOut, held_out
from decisions.seen import images_of_run, require_unseen
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmseg_cag.analysis.runs.samples import build_dataset
from mmseg_cag.datasets.roles import image_name, read_roles
from mmseg_cag.engine.loops import total_iters
from mmseg_cag.errors import UserError
from mmseg_cag.evaluation.bootstrap import (
    bootstrap,
    group_sums,
    iou_of,
    mean_of,
)
from mmseg_cag.fileio.json_file import read_object
from mmseg_cag.launch.chain import train_chain

from .ranking import rank
from .runs import (
    ALONE,
    BOTH,
    NOBODY,
    ORACLE,
    START,
    TEST,
    TRAIN,
    Choice,
    Curve,
    Run,
    choice_of,
)


def do(argument: tuple[Curve, Run | Choice]) -> dict:
    """Do one job.

    Returns:
        The content of a row's file; for a choice, its folder.
    """
    # A runner formats its config twice, which takes longer than evaluating.
    Config.pretty_text = property(plain_text)
    curve, what = argument
    init_default_scope('mmseg')
    if isinstance(what, Choice):
        return {'folder': str(rank(curve, what))}
    return measure(curve, what)


def measure(curve: Curve, run: Run) -> dict:
    """Train a run unless done, and score its last checkpoint.

    Raises:
        UserError: A scored image is also a training image.
    """
    cfg = curve.train_config(run)
    checkpoint, begun = curve.checkpoint(run), monotonic()
    held = scored_on(curve)
    require_unseen(held, [*images_of_run(cfg)])
    if not checkpoint.is_file():
        train_chain(cfg, resume=True)
        note_times(checkpoint.parent)
    seconds = round(monotonic() - begun, 1)
    return {
        **curve.row(run)._asdict(),
        **run._asdict(),
        'config': curve.identity(run),
        'labelled': labelled_by(curve, run),
        'start': START if START in map(_setting, curve.needs(run)) else None,
        **score(cfg, checkpoint, held),
        'steps': total_iters(cfg.train_cfg),
        'seconds': seconds,
        **read_object(checkpoint.parent / TIMES, []),
        'date': str(date.today()),
        **describe(),
    }


def require_fair_oracle(curve: Curve) -> None:
    """Check that the oracle does not train on images that are scored.

    Raises:
        UserError: It does.
    """
    cfg = curve.plan(Run(ORACLE, NOBODY, 0, 0))
    try:
        require_unseen(scored_on(curve), [*images_of_run(cfg)])
    except UserError as error:
        raise UserError(
            f'--oracle {curve.oracle}, --score-on {curve.score_on}: {error}'
        ) from error


def _setting(what: Run | Choice) -> str:
    return what.setting if isinstance(what, Run) else ''


def scored_on(curve: Curve) -> HeldOut:
    """Find the images to score on.

    Raises:
        UserError: There are none.
    """
    cfg, key = curve.method(), 'test_dataloader.dataset'
    if curve.score_on != TEST:
        return held_out(cfg, read_roles(curve.roles), None, curve.score_on)
    part = (cfg.get('test_dataloader') or {}).get('dataset')
    dataset = build_dataset(part, key)
    indices = list(range(len(dataset)))
    infos = map(dataset.get_data_info, indices)
    names = [image_name(dataset, info['img_path']) for info in infos]
    return HeldOut(dataset, indices, names)


def labelled_by(curve: Curve, run: Run) -> list[str]:
    """List the labelled training images of a run."""
    if run.setting not in (ALONE, BOTH) or not run.labels:
        return []
    roles = read_roles(curve.roles_file(choice_of(run), run.labels))
    return [one.image for one in roles.of(TRAIN)]


def score(cfg: Config, checkpoint: Path, held: HeldOut) -> dict:
    """Compute mIoU, with a 95 % interval over images, and IoU by class."""
    classes = list(held.dataset.metainfo['classes'])
    counts = count(cfg, checkpoint, held, classes)
    iou = 100 * iou_of(counts.sum(0, keepdims=True))
    known = {
        f'IoU.{name}': round(float(value), 2)
        for name, value in zip(classes, iou[0], strict=True)
        if np.isfinite(value)
    }
    found = bootstrap(
        group_sums(counts, held.groups),
        lambda sums: 100 * mean_of(iou_of(sums)),
    )
    value, low, high = (
        round(float(x[0]), 2) for x in (found.value, found.low, found.high)
    )
    return {
        'scores': {checkpoint.stem: {'mIoU': value, **known}},
        'interval': [low, high],
        'images': len(held.indices),
    }

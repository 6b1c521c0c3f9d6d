# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Rank the target images for labelling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from decisions.near_duplicates import thumbnails, warn_of_held
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from selection.look import Looks, look_at
from selection.rank import choose

from mmseg_cag.analysis.runs.labeling_network import build_labeling_network
from mmseg_cag.analysis.runs.network import read_state
from mmseg_cag.analysis.runs.samples import build_dataset
from mmseg_cag.datasets.dataset_configs import leaves, spread
from mmseg_cag.datasets.roles import (
    Roles,
    has_label,
    image_name,
    labelled_images,
    read_roles,
    write_roles,
)
from mmseg_cag.errors import UserError
from mmseg_cag.workflows.pseudo_labels.target_images import target_images

from .runs import HELD, NOBODY, TRAIN, Choice, Curve, few_of, start_of

ANCHOR_IMAGES = 100  # source images to compute anchors, if needed


def labelled_target(cfg: Config) -> BaseSegDataset:
    """Build the target dataset with some labelled images."""
    few = next(few_of(cfg))
    return build_dataset(few['dataset'], 'the labelled target')


def find_candidates(curve: Curve) -> Curve:
    """Find the candidate images for labels, without reading any label.

    Candidates have a label; neither they nor another image of their group
    have the role choose or certify.

    Raises:
        UserError: There are fewer than requested, one is no target image, or
            the roles file is wrong.
    """
    cfg = curve.method()
    dataset = labelled_target(cfg)
    roles = read_held(curve, tuple(dataset.metainfo['classes']))
    roles.require_classes(dataset.metainfo['classes'], 'the target')
    is_held = roles.holds(*HELD)
    paths = _places(whole_target(cfg))
    found = []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        name = image_name(dataset, info['img_path'])
        if is_held(name) or not has_label(dataset, info):
            continue
        if info['img_path'] not in paths:
            raise UserError(
                f'{info["img_path"]}: has a label and is not among the images '
                'of the target'
            )
        found.append(name)
    if len(found) < max(curve.labels):
        raise UserError(
            f'--labels {max(curve.labels)}: {len(found)} images of the target '
            'have a label and none of the roles '
            f'{", ".join(HELD)}, expected no more than that'
        )
    return replace(curve, candidates=tuple(found))


def read_held(curve: Curve, classes: tuple[str, ...]) -> Roles:
    """Read the roles file; empty if there is none."""
    return read_roles(curve.roles) if curve.roles else Roles(classes, {})


def whole_target(cfg: Config) -> BaseSegDataset:
    """Build the target's images with the test pipeline, in any role."""
    [(_, _, part)] = leaves(target_images(cfg), 'the target')
    return build_dataset(part, 'the target')


def _places(dataset: BaseSegDataset) -> dict[str, int]:
    """Find the index of each image of a dataset by its path."""
    infos = map(dataset.get_data_info, range(len(dataset)))
    return {info['img_path']: place for place, info in enumerate(infos)}


def rank(curve: Curve, choice: Choice) -> Path:
    """Rank images, and write the first ones as the training role.

    Returns:
        The folder of the roles files, one per number of labels.

    Raises:
        UserError: Too few of them are distinct.
    """
    counts = curve.labels if choice.by != NOBODY else (0,)
    paths = [curve.roles_file(choice, count) for count in counts]
    folder = paths[0].parent
    if all(path.is_file() for path in paths):
        return folder
    dataset = labelled_target(curve.method())
    order = [] if choice.by == NOBODY else _order(curve, choice, dataset)
    train = labelled_images(dataset, order)
    classes = tuple(dataset.metainfo['classes'])
    known = read_held(curve, classes)
    held = {role: known.of(role) for role in HELD}
    for count, path in zip(counts, paths, strict=True):
        if not path.is_file():
            images = {TRAIN: train[:count], **held}
            write_roles(path, Roles(classes, images, str(path), known.group))
    return folder


def _order(curve: Curve, choice: Choice, dataset: BaseSegDataset) -> list[int]:
    places = _places(dataset)
    named = {image_name(dataset, path): path for path in places}
    count = max(curve.labels)
    some = spread(curve.candidates, max(curve.images, count))
    paths = [named[curve.candidates[i]] for i in some]
    looks = None if choice.by == 'random' else _look(curve, choice, paths)
    seen = thumbnails(paths, dataset.backend_args)
    chosen = choose(looks, seen, count, choice.by, choice.seed)
    if len(chosen) < count:
        raise UserError(
            f'--labels {count}: {len(chosen)} of {len(paths)} images are no '
            'near-duplicates of another, expected no more than that'
        )
    roles = read_held(curve, tuple(dataset.metainfo['classes']))
    warn_of_held([paths[i] for i in chosen], dataset, roles)
    return [places[paths[i]] for i in chosen]


def _look(curve: Curve, choice: Choice, paths: list[str]) -> Looks:
    """Run the method's start network on images."""
    cfg = curve.method()
    checkpoint = curve.checkpoint(start_of(choice))
    images = whole_target(cfg)
    places = _places(images)
    network = build_labeling_network(
        cfg, read_state(checkpoint), checkpoint, ANCHOR_IMAGES
    )
    return look_at(network, cfg, images, [places[path] for path in paths])

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Make figure files from a run's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmseg.datasets import BaseSegDataset

from mmseg_cag.analysis.runs.labeling_network import build_labeling_network
from mmseg_cag.analysis.runs.network import (
    State,
    build_network,
    build_preprocessor,
    predict_map,
    read_state,
    start_state,
    teacher_state,
)
from mmseg_cag.analysis.runs.run import Run
from mmseg_cag.analysis.runs.samples import (
    Sample,
    read_samples,
    source_dataset,
    target_dataset,
)
from mmseg_cag.datasets.dataset_configs import spread
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.images import read_image
from mmseg_cag.visualization import colorize

from .feature_figure import save_feature_figure
from .features import lay_out, sample_features
from .pseudo_label_figure import save_pseudo_label_figure
from .pseudo_labels import join, label_image
from .style import UNLABELLED, WIDTH, class_legend, figure, save, show_image


def save_panel_figure(
    path: Path,
    titles: Sequence[str],
    rows: Sequence[Sequence[np.ndarray]],
    classes: Sequence[str],
    palette: Sequence,
) -> list[Path]:
    """Draw rows of images side by side above a legend of classes.

    Args:
        path: Without suffix.
        titles: Title of each column.
        rows: Images (H, W, 3) uint8, RGB, one per column.
        classes: Names of the classes.
        palette: Their colours (red, green, blue), 0 to 255.
    """
    height, width = rows[0][0].shape[:2]
    cell = WIDTH / len(titles)
    with figure((cell * height / width + 0.01) * len(rows) + 0.58) as drawn:
        axes = drawn.subplots(len(rows), len(titles), squeeze=False)
        for row, images in zip(axes, rows, strict=True):
            for axis, image in zip(row, images, strict=True):
                show_image(axis, image)
        for axis, title in zip(axes[0], titles, strict=True):
            axis.set_title(title)
        class_legend(drawn, classes, palette, 'void')
        return save(drawn, path)


# legend: H W image


class Choices(NamedTuple):
    """Options of a figure.

    Attributes:
        checkpoint: Used instead of the run's last.
        start: Checkpoint the run started from, if not recorded.
        images: Number of images read from each domain.
        show: Indices of target images; evenly spaced by default.
    """

    checkpoint: Path | None = None
    start: Path | None = None
    images: int = 100
    show: list[int] | None = None


def classes_of(dataset: BaseSegDataset) -> tuple[list[str], list]:
    """Return the names and colours of a dataset's classes."""
    return list(dataset.metainfo['classes']), dataset.metainfo['palette']


def shown_images(
    dataset: BaseSegDataset, choices: Choices, count: int
) -> list[int]:
    """Choose the images to show.

    Raises:
        UserError: The dataset has no such image.
    """
    for index in choices.show or []:
        if not 0 <= index < len(dataset):
            raise UserError(
                f'--show {index}: expected an image from 0 to '
                f'{len(dataset) - 1}'
            )
    return choices.show or spread(dataset, count)


def rgb_of(sample: Sample) -> np.ndarray:
    """Read the image (H, W, 3) uint8, RGB, of a sample from its file."""
    return read_image(sample.data.img_path)[..., ::-1]


def make_pseudo_label_figure(
    run: Run, out: Path, choices: Choices
) -> list[Path]:
    """Draw the pseudo labels that a checkpoint was trained on."""
    path = choices.checkpoint or list(run.checkpoints.values())[-1]
    state = teacher_state(read_state(path))
    teacher = build_labeling_network(run.cfg, state, path, choices.images)
    preprocessor = build_preprocessor(run.cfg, 'target')
    dataset = target_dataset(run.cfg)
    classes, palette = classes_of(dataset)
    indices = spread(dataset, choices.images)
    samples = read_samples(dataset, indices)
    shown = [
        (
            rgb_of(sample),
            sample.truth.numpy() if sample.has_truth else None,
            label_image(teacher, preprocessor, sample),
        )
        for sample in read_samples(dataset, shown_images(dataset, choices, 3))
    ]
    pixels = None
    if shown[0][1] is not None:
        maps = (label_image(teacher, preprocessor, s) for s in samples)
        pixels = join(maps, len(classes))
    return save_pseudo_label_figure(out, shown, pixels, classes, palette)


def make_panel_figure(run: Run, out: Path, choices: Choices) -> list[Path]:
    """Draw input, ground truth and predictions of the start and each stage."""
    states = networks_of(run, choices, run.stage_ends)
    dataset = target_dataset(run.cfg)
    classes, palette = classes_of(dataset)
    samples = list(read_samples(dataset, shown_images(dataset, choices, 5)))
    titles = ['Target image']
    columns = [[rgb_of(sample) for sample in samples]]
    if samples[0].has_truth:
        titles.append('Ground truth')
        truths = [sample.truth.numpy() for sample in samples]
        columns.append([colorize(t, palette, UNLABELLED) for t in truths])
    for state, origin in states.values():
        model = build_network(run.cfg, state, origin)
        maps = [predict_map(model, sample) for sample in samples]
        columns.append([colorize(m, palette, UNLABELLED) for m in maps])
    titles += states
    rows = list(zip(*columns, strict=True))
    return save_panel_figure(out, titles, rows, classes, palette)


def make_feature_figure(
    run: Run, out: Path, choices: Choices, per_class: int = 40
) -> list[Path]:
    """Draw features of both domains around the anchors, before and after."""
    last = list(run.stage_ends.items())[-1:]
    networks = networks_of(run, choices, dict(last))
    teachers = [
        build_labeling_network(run.cfg, state, origin, choices.images)
        for state, origin in networks.values()
    ]
    datasets = {
        'source': source_dataset(run.cfg),
        'target': target_dataset(run.cfg),
    }
    domains = {
        name: sample_features(
            read_samples(dataset, spread(dataset, choices.images)),
            build_preprocessor(run.cfg, name),
            teachers,
            per_class,
        )
        for name, dataset in datasets.items()
    }
    panels = lay_out(list(networks), teachers, domains)
    classes, palette = classes_of(datasets['target'])
    return save_feature_figure(out, panels, classes, palette)


def networks_of(
    run: Run, choices: Choices, ends: dict[str, Path]
) -> dict[str, tuple[State, Path]]:
    """Load the weights of the start, if any, and of checkpoints.

    Args:
        run: The run.
        choices: A selected checkpoint replaces the others.
        ends: The checkpoints by title.

    Returns:
        The weights and their origin, by title.
    """
    if choices.checkpoint:
        ends = {choices.checkpoint.stem: choices.checkpoint}
    start = start_state(run, choices.start)
    begun = {} if start is None else {'Source only': (start, run.folder)}
    read = {title: (read_state(path), path) for title, path in ends.items()}
    return begun | read


FIGURES = {
    'pseudo_labels': make_pseudo_label_figure,
    'panels': make_panel_figure,
    'features': make_feature_figure,
}

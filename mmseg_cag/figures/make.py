# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The figures, from a run's folder to files."""

from __future__ import annotations

from pathlib import Path

from mmseg_cag.experiments.picture import paint
from mmseg_cag.finished_runs.network import (
    State,
    build_network,
    build_preprocessor,
    labeler_state,
    predict_map,
    read_state,
    start_state,
)
from mmseg_cag.finished_runs.run_folder import RunFolder
from mmseg_cag.finished_runs.samples import (
    read_samples,
    source_dataset,
    spread,
)

from .feature_figure import save_feature_figure
from .feature_layout import lay_out
from .features import sample_features
from .labeler import build_labeler
from .panel_figure import save_panel_figure
from .pseudo_label_figure import save_pseudo_label_figure
from .pseudo_labels import join, label_image
from .style import UNLABELLED
from .target import (
    Choices,
    classes_of,
    read_image,
    shown_images,
    target_dataset,
)


def make_pseudo_label_figure(
    run: RunFolder, out: Path, choices: Choices
) -> list[Path]:
    """Draw the labels that a checkpoint's stage was trained on."""
    path = choices.checkpoint or list(run.checkpoints.values())[-1]
    state = labeler_state(read_state(path))
    labeler = build_labeler(run.cfg, state, path, choices.images)
    preprocessor = build_preprocessor(run.cfg, 'target')
    dataset = target_dataset(run)
    classes, palette = classes_of(dataset)
    indices = spread(dataset, choices.images)
    samples = read_samples(dataset, indices)
    pixels = join(
        (label_image(labeler, preprocessor, sample) for sample in samples),
        len(classes),
    )
    shown = [
        (read_image(s), s.truth.numpy(), label_image(labeler, preprocessor, s))
        for s in read_samples(dataset, shown_images(dataset, choices, 3))
    ]
    return save_pseudo_label_figure(out, shown, pixels, classes, palette)


def make_panel_figure(
    run: RunFolder, out: Path, choices: Choices
) -> list[Path]:
    """Draw input, truth and what the start and each stage predict."""
    states = networks_of(run, choices, run.stage_ends)
    dataset = target_dataset(run)
    classes, palette = classes_of(dataset)
    samples = list(read_samples(dataset, shown_images(dataset, choices, 5)))
    columns = [
        [read_image(sample) for sample in samples],
        [paint(s.truth.numpy(), palette, UNLABELLED) for s in samples],
    ]
    for state, origin in states.values():
        model = build_network(run.cfg, state, origin)
        maps = [predict_map(model, sample) for sample in samples]
        columns.append([paint(m, palette, UNLABELLED) for m in maps])
    titles = ['Target image', 'Truth', *states]
    rows = list(zip(*columns, strict=True))
    return save_panel_figure(out, titles, rows, classes, palette)


def make_feature_figure(
    run: RunFolder, out: Path, choices: Choices, per_class: int = 40
) -> list[Path]:
    """Draw features of both domains around the anchors, before and after."""
    last = list(run.stage_ends.items())[-1:]
    networks = networks_of(run, choices, dict(last))
    labelers = [
        build_labeler(run.cfg, state, origin, choices.images)
        for state, origin in networks.values()
    ]
    datasets = {
        'source': source_dataset(run.cfg),
        'target': target_dataset(run),
    }
    domains = {
        name: sample_features(
            read_samples(dataset, spread(dataset, choices.images)),
            build_preprocessor(run.cfg, name),
            labelers,
            per_class,
        )
        for name, dataset in datasets.items()
    }
    panels = lay_out(list(networks), labelers, domains)
    classes, palette = classes_of(datasets['target'])
    return save_feature_figure(out, panels, classes, palette)


def networks_of(
    run: RunFolder, choices: Choices, ends: dict[str, Path]
) -> dict[str, tuple[State, Path]]:
    """Read the weights of the start, if any, and of checkpoints.

    Args:
        run: The run.
        choices: A checkpoint of its own takes the place of the others.
        ends: The checkpoints by title.

    Returns:
        By title the weights and where they are from.
    """
    if choices.checkpoint:
        ends = {choices.checkpoint.stem: choices.checkpoint}
    start = start_state(run, choices.start)
    begun = {} if start is None else {'Source only': (start, run.path)}
    read = {title: (read_state(path), path) for title, path in ends.items()}
    return begun | read


FIGURES = {
    'pseudo_labels': make_pseudo_label_figure,
    'panels': make_panel_figure,
    'features': make_feature_figure,
}

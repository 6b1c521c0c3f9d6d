# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Figure 1: pseudo labels from anchors and from probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.ticker import PercentFormatter

from mmseg_cag.analysis.runs.labeling_network import KINDS
from mmseg_cag.visualization import colorize

from .pseudo_labels import (
    Maps,
    precision_coverage,
    shares_by_class,
)
from .style import (
    BLUE,
    UNLABELLED,
    VERMILLION,
    WIDTH,
    class_legend,
    figure,
    save,
    show_image,
)

TITLES = {'anchor': 'By anchors', 'probability': 'By probability'}
SHOWN = 0.01
MARKS = {
    'anchor': dict(color=BLUE, marker='o'),
    'probability': dict(color=VERMILLION, marker='D'),
}
# The first curve is wider, so that both stay visible where they coincide.
SIZES = {'anchor': 5.2, 'probability': 3}


Shown = tuple[np.ndarray, np.ndarray | None, Maps]


def save_pseudo_label_figure(
    path: Path,
    shown: Sequence[Shown],
    pixels: Maps | None,
    classes: Sequence[str],
    palette: Sequence,
) -> list[Path]:
    """Draw label maps of some images above the statistics of all.

    Args:
        path: Without suffix.
        shown: Image (H, W, 3) uint8, truth (H, W) and labels of each; None
            for the truth of images without labels.
        pixels: The joined pixels of all images; None without labels.
        classes: Names of the K classes.
        palette: Their colours.
    """
    height, width = shown[0][0].shape[:2]
    maps = WIDTH / 4 * height / width * len(shown) + 0.2
    charts = 0.115 * len(classes) + 0.6 if pixels else 0.1
    with figure(maps + charts + 0.45) as drawn:
        top, bottom = drawn.subfigures(2, 1, height_ratios=(maps, charts))
        _draw_maps(top, shown, palette)
        if pixels:
            _draw_charts(bottom, pixels, classes)
        class_legend(drawn, classes, palette, 'no label')
        return save(drawn, path)


def _draw_maps(
    top: SubFigure,
    shown: Sequence[Shown],
    palette: Sequence,
) -> None:
    has_truth = shown[0][1] is not None
    axes = top.subplots(len(shown), 3 + has_truth, squeeze=False)
    for row, (image, truth, maps) in zip(axes, shown, strict=True):
        labels = [truth] if has_truth else []
        labels += [
            np.where(found.active, found.label, 255)
            for found in maps.kinds.values()
        ]
        painted = [colorize(one, palette, UNLABELLED) for one in labels]
        for axis, part in zip(row, (image, *painted), strict=True):
            show_image(axis, part)
    truth = ['Ground truth'] if has_truth else []
    titles = ('Target image', *truth, *TITLES.values())
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)


def _draw_charts(
    bottom: SubFigure, pixels: Maps, classes: Sequence[str]
) -> None:
    axes = bottom.subplots(1, 3, width_ratios=(1, 1, 1.25))
    by_kind = [
        shares_by_class(pixels.truth, pixels.kinds[kind], len(classes))
        for kind in KINDS
    ]
    titles = ('Coverage of each class', 'Precision of each label')
    for axis, *shares, title in zip(axes, *by_kind, titles, strict=False):
        _draw_dumbbells(axis, dict(zip(KINDS, shares, strict=True)), classes)
        axis.set_title(title)
    axes[1].tick_params(labelleft=False)
    _draw_curves(axes[2], pixels)


def _draw_dumbbells(
    axis: Axes, shares: dict[str, np.ndarray], classes: Sequence[str]
) -> None:
    rows = np.arange(len(classes))
    ends = np.stack(list(shares.values()))
    axis.hlines(rows, *ends, color='#bbbbbb', linewidth=1.6, zorder=1)
    for kind, values in shares.items():
        axis.plot(
            values, rows, linestyle='', markersize=SIZES[kind], **MARKS[kind]
        )
    axis.set(xlim=(-0.03, 1.03), ylim=(len(classes) - 0.4, -0.6))
    axis.set_yticks(rows, classes)
    axis.tick_params(axis='y', length=0)
    axis.set_xticks((0, 0.25, 0.5, 0.75, 1))
    axis.xaxis.set_major_formatter(PercentFormatter(1, symbol=''))
    axis.set_xlabel('%', labelpad=1)


def _draw_curves(axis: Axes, pixels: Maps) -> None:
    for kind, found in pixels.kinds.items():
        right = found.label == pixels.truth
        line = '-' if kind == 'anchor' else '--'
        coverage, precision = precision_coverage(found.score, right)
        # Precision is unreliable for fewer pixels.
        shown = coverage >= SHOWN
        axis.plot(
            coverage[shown],
            precision[shown],
            color=MARKS[kind]['color'],
            linestyle=line,
        )
        covered, precise = found.active.mean(), right[found.active].mean()
        axis.plot(
            covered,
            precise,
            label=f'{kind}: {covered:.0%} labelled, {precise:.0%} right',
            markersize=6,
            markeredgecolor='white',
            linestyle=line,
            **MARKS[kind],
        )
    axis.set(xlim=(0, 1.02), xlabel='labelled pixels', ylabel='precision')
    axis.margins(y=0.12)
    axis.set_title('At any threshold (mark: the one in force)')
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.legend(loc='lower right', handlelength=2.8)

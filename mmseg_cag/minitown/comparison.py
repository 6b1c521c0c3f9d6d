# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mmengine.runner import Runner
from torch import Tensor

# legend: H W image


def predict(runner: Runner, indices: list[int]) -> list[Tensor]:
    """Predict samples of the test set.

    Args:
        runner: Runner that tests a checkpoint.
        indices: Indices of the samples.

    Returns:
        A class map (H, W) int64 for each.
    """
    runner.load_or_resume()
    runner.model.eval()
    dataset = runner.test_dataloader.dataset
    maps = []
    for index in indices:
        sample = dataset[index]
        batch = {key: [value] for key, value in sample.items()}
        [result] = runner.model.test_step(batch)
        maps.append(result.pred_sem_seg.data.squeeze(0).cpu())
    return maps


def save_comparison(
    path: Path,
    titles: Sequence[str],
    rows: Sequence[Sequence[np.ndarray]],
    classes: Sequence[str],
    palette: Sequence,
) -> None:
    """Save rows of images side by side with titles and a legend of classes.

    Args:
        path: Output file, PNG or PDF by its suffix.
        titles: Title of each column.
        rows: Images (H, W, 3) uint8, RGB, one per column.
        classes: Names of the classes.
        palette: Their colours.
    """
    height, width = rows[0][0].shape[:2]
    cell = 3.2
    figure = Figure(
        figsize=(
            cell * len(titles),
            cell * height / width * len(rows) + 0.9,
        ),
        layout='constrained',
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for row, images in zip(axes, rows, strict=True):
        for axis, image in zip(row, images, strict=True):
            axis.imshow(image, interpolation='nearest')
            axis.set_axis_off()
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=11)
    patches = [
        Patch(color=np.divide(colour, 255), label=name)
        for name, colour in zip(classes, palette, strict=True)
    ]
    figure.legend(
        handles=patches,
        loc='outside lower center',
        ncols=10,
        fontsize=8,
        frameon=False,
    )
    figure.savefig(path, dpi=130)

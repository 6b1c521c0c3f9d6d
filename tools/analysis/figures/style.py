# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

# Inches: the text width of a two-column paper.
WIDTH = 7.0
# Okabe and Ito's palette, safe for colour-blind readers.
BLUE, VERMILLION, GREY = '#0072B2', '#D55E00', '#595959'
# Pixels without a label.
UNLABELLED = 236
STYLE = {
    'font.family': 'STIXGeneral',
    'mathtext.fontset': 'stix',
    'font.size': 8,
    'axes.titlesize': 8.5,
    'axes.labelsize': 8,
    'xtick.labelsize': 7,
    'ytick.labelsize': 7.5,
    'legend.fontsize': 7.5,
    'axes.linewidth': 0.6,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.color': '#dddddd',
    'grid.linewidth': 0.5,
    'lines.linewidth': 1.4,
    'legend.frameon': False,
    'pdf.fonttype': 42,
    'savefig.dpi': 300,
}


@contextmanager
def figure(height: float, width: float = WIDTH) -> Iterator[Figure]:
    """Draw a figure in this project's style.

    Args:
        height: Inches.
        width: Inches.
    """
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(width, height), layout='constrained')
        FigureCanvasAgg(drawn)
        drawn.get_layout_engine().set(
            w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01
        )
        yield drawn


def save(drawn: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and as PDF, and return both paths.

    Args:
        drawn: The figure.
        path: Without suffix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = [path.with_name(path.name + end) for end in ('.png', '.pdf')]
    for file in paths:
        # Without the date, the same run writes identical files.
        metadata = {'CreationDate': None} if file.suffix == '.pdf' else None
        drawn.savefig(file, metadata=metadata)
    return paths


def show_image(axis: Axes, image: np.ndarray) -> None:
    """Show an image (H, W, 3) uint8, RGB, in a thin frame."""
    axis.imshow(image, interpolation='nearest', aspect='equal')
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set(visible=True, linewidth=0.4, color='#888888')


def class_legend(
    drawn: Figure, classes: Sequence[str], palette: Sequence, extra: str = ''
) -> None:
    """Add a legend of the class colours below a figure.

    Args:
        drawn: The figure.
        classes: Names of the classes.
        palette: Their colours (red, green, blue), 0 to 255.
        extra: Legend entry for pixels without a class, if any.
    """
    handles = [
        Patch(
            facecolor=np.divide(colour, 255),
            edgecolor='#555555',
            linewidth=0.3,
            label=name,
        )
        for name, colour in zip(classes, palette, strict=True)
    ]
    if extra:
        handles.append(
            Patch(
                facecolor=(UNLABELLED / 255,) * 3,
                edgecolor='#555555',
                linewidth=0.3,
                label=extra,
            )
        )
    drawn.legend(
        handles=handles,
        loc='outside lower center',
        ncols=-(-len(handles) // 2),
        handlelength=1.0,
        handleheight=0.8,
        columnspacing=1.0,
        handletextpad=0.4,
    )

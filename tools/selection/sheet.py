# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Show the chosen images on a self-contained HTML page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

import cv2
import numpy as np

from mmseg_cag.visualization import colorize

# legend: H W image

WIDTH = 480  # width of a picture on the page, in pixels
GREY = 40  # colour of pixels without a pre-label
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 64rem; padding: 0 1rem; color-scheme: light dark }}
figure {{ margin: 0 0 2rem }} figure div {{ display: flex; gap: .5rem }}
img {{ width: 50%; min-width: 0 }} figcaption {{ overflow-wrap: anywhere }}
li {{ display: inline-block; margin-right: 1rem }} ul {{ padding: 0 }}
i {{ display: inline-block; width: 1em; height: 1em; vertical-align: -.1em }}
</style>
<h1>{title}</h1>
<p>Left the image, right its pre-label, dark where the network is unsure.</p>
<ul>{legend}</ul>
{figures}
</html>
"""


def contact_sheet(
    title: str,
    pictures: Mapping[str, tuple[np.ndarray, np.ndarray]],
    notes: Mapping[str, str],
    classes: Sequence[str],
    palette: Sequence,
) -> str:
    """Write the page.

    Args:
        title: Title of the page.
        pictures: Image (H, W, 3), blue first, and pre-label (H, W), by name.
        notes: Caption of each.
        classes: Names of the classes.
        palette: Their colours.
    """
    legend = ''.join(
        f'<li><i style="background: rgb{tuple(map(int, colour))}"></i> '
        f'{escape(name)}</li>'
        for name, colour in zip(classes, palette, strict=True)
    )
    figures = []
    for number, (name, (image, label)) in enumerate(pictures.items(), 1):
        painted = colorize(label, palette, ignored=GREY)[..., ::-1]
        views = ''.join(
            f'<img alt="{kind}" src="data:image/jpeg;base64,{_jpeg(view)}">'
            for kind, view in (('image', image), ('pre-label', painted))
        )
        text = f'{number}. {escape(name)}: {escape(notes[name])}'
        figures.append(
            f'<figure><div>{views}</div><figcaption>{text}</figcaption>'
            '</figure>'
        )
    return PAGE.format(
        title=escape(title), legend=legend, figures='\n'.join(figures)
    )


def _jpeg(image: np.ndarray) -> str:
    height = round(image.shape[0] * WIDTH / image.shape[1])
    small = cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)
    return base64.b64encode(cv2.imencode('.jpg', small)[1]).decode('ascii')

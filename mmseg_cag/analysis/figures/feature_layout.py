# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmseg_cag.analysis.runs.labeler import Labeler

from .embedding import embed
from .feature_figure import Panel
from .features import Pixels, nearest_share


def lay_out(
    titles: Sequence[str],
    labelers: Sequence[Labeler],
    domains: dict[str, Pixels],
) -> list[Panel]:
    """Embed pixels and anchors of all networks together.

    Args:
        titles: Of the networks.
        labelers: The networks with their anchors.
        domains: The sampled pixels, by name of the domain.

    Returns:
        A panel for each network, whose title states the share of target
        pixels that are nearest to the anchor of their class.
    """
    known = [labeler.bank.counts.cpu().numpy() > 0 for labeler in labelers]
    parts = [
        part
        for number, labeler in enumerate(labelers)
        for part in (
            *(pixels.feats[number] for pixels in domains.values()),
            labeler.bank.anchors.cpu().numpy()[known[number]],
        )
    ]
    placed = iter(embed(parts))
    panels = []
    for number, (title, labeler) in enumerate(
        zip(titles, labelers, strict=True)
    ):
        positions = {
            name: (next(placed), pixels.labels)
            for name, pixels in domains.items()
        }
        anchors = np.full((len(known[number]), 2), np.nan)
        anchors[known[number]] = next(placed)
        share = nearest_share(labeler, domains['target'], number)
        title = (
            f'{title}: {share:.0%} of target pixels nearest to their anchor'
        )
        panels.append(Panel(title, positions, anchors))
    return panels

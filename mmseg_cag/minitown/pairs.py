# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Domain pairs of the benchmarks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mmseg_cag.errors import MissingFileError

# Root of configs and tools: the checkout, or the wheel's own folder.
ROOT = Path(__file__).parents[2]
if not (ROOT / 'model-index.yml').is_file():
    ROOT = Path(__file__).parents[1] / '.mim'


@dataclass(frozen=True)
class Budget:
    """Sizes and lengths of the runs.

    Attributes:
        images: Number of source and target training images, target validation
            images and images of the third town.
        size: Height and width of the images, pixels.
        supervised_iters: Iterations of source-only and oracle; None keeps the
            config's.
        stage_iters: Iterations of an adaptation stage; None likewise.
        seed: Seed of the towns.
    """

    images: tuple[int, int, int, int] = (600, 600, 100, 100)
    size: tuple[int, int] = (128, 256)
    supervised_iters: int | None = None
    stage_iters: int | None = None
    seed: int = 0

    @property
    def towns(self) -> dict:
        """Return the arguments of `draw_minitown`."""
        names = ('source', 'target', 'val', 'synthia')
        counts = dict(zip(names, self.images, strict=True))
        return {'size': tuple(self.size), **counts, 'seed': self.seed}


@dataclass(frozen=True)
class Pair:
    """A source and a target.

    Attributes:
        name: Name of its data and results and, by default, of its folder in
            ``configs`` and its page in ``docs``.
        title: Display name.
        budget: Budget that the configs are written for.
        like: The pair whose configs it uses; it then has no page.
        given: Environment variable with the root of real data, and the folders
            it contains; None if all data is drawn.
    """

    name: str
    title: str
    budget: Budget
    like: str | None = None
    given: tuple[str, tuple[str, ...]] | None = None

    @property
    def configs(self) -> Path:
        """Return the folder of the configs."""
        return ROOT / 'configs' / (self.like or self.name)

    @property
    def page(self) -> Path | None:
        """Return the document with its results, if any."""
        return None if self.like else ROOT / 'docs' / f'{self.name}.md'

    def require_given(self) -> None:
        """Check that the real data exists.

        Raises:
            MissingFileError: It is missing.
        """
        if self.given is None:
            return
        variable, folders = self.given
        root = os.environ.get(variable)
        for folder in folders:
            if not root or not Path(root, folder).is_dir():
                raise MissingFileError(
                    f'{variable}={root}: expected the folder with '
                    f'{", ".join(folders)} (docs/{self.name}.md)'
                )


MINITOWN = Pair('minitown', 'one drawn town to another', Budget())
# For tuning, so that no setting is chosen on reported results.
OTHER_TOWNS = Pair(
    'other_towns',
    'one drawn town to another, neither of them of the benchmark',
    Budget(seed=1),
    like='minitown',
)
REAL_STREETS = Pair(
    'real_streets',
    'drawn streets to those of CamVid',
    Budget(images=(600, 0, 0, 0), size=(240, 320)),
    given=('CAMVID_ROOT', ('images/train', 'images/val', 'labels/val')),
)
# Two sources, of which the configs of a row may leave one out.
THREE_TOWNS = Pair(
    'three_towns',
    'two drawn towns to a third',
    Budget(images=(600, 600, 100, 600)),
    like='many_worlds',
)
PAIRS = {
    pair.name: pair
    for pair in (MINITOWN, OTHER_TOWNS, REAL_STREETS, THREE_TOWNS)
}

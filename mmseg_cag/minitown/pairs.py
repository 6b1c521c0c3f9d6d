# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The pairs of domains that methods are measured on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mmseg_cag.errors import MissingFileError

# Of the configs and tools: the checkout, or the wheel's own folder.
ROOT = Path(__file__).parents[2]
if not (ROOT / 'model-index.yml').is_file():
    ROOT = Path(__file__).parents[1] / '.mim'


@dataclass(frozen=True)
class Budget:
    """What the runs may cost.

    Attributes:
        images: Training images of the source and of the target, validation
            images of the target, images of the third town.
        size: Height and width of the images, pixels.
        supervised_iters: Iterations of source-only and of the oracle; None
            takes the config's.
        stage_iters: Iterations of a stage of adaptation; None likewise.
        seed: Of the towns.
    """

    images: tuple[int, int, int, int] = (600, 600, 100, 100)
    size: tuple[int, int] = (128, 256)
    supervised_iters: int | None = None
    stage_iters: int | None = None
    seed: int = 0

    @property
    def towns(self) -> dict:
        """Arguments of `draw_minitown`."""
        names = ('source', 'target', 'val', 'synthia')
        counts = dict(zip(names, self.images, strict=True))
        return {'size': tuple(self.size), **counts, 'seed': self.seed}


@dataclass(frozen=True)
class Pair:
    """A source and a target.

    Attributes:
        name: Of its data and its results, and unless said otherwise of its
            folder in ``configs`` and its page in ``docs``.
        title: What a reader calls it.
        budget: What the configs are for.
        like: The pair whose configs it has; it has no page then.
        given: Variable of the environment that names the folder of what is
            not drawn, and the folders that it has; None if all is drawn.
    """

    name: str
    title: str
    budget: Budget
    like: str | None = None
    given: tuple[str, tuple[str, ...]] | None = None

    @property
    def configs(self) -> Path:
        """Folder of the configs."""
        return ROOT / 'configs' / (self.like or self.name)

    @property
    def page(self) -> Path | None:
        """The document with its results, if it has one."""
        return None if self.like else ROOT / 'docs' / f'{self.name}.md'

    def require_given(self) -> None:
        """Check that what is not drawn is there.

        Raises:
            MissingFileError: It is not.
        """
        if self.given is None:
            return
        variable, folders = self.given
        root = os.environ.get(variable)
        for folder in folders:
            if not root or not Path(root, folder).is_dir():
                raise MissingFileError(
                    f'{variable}={root}: expected the folder that has '
                    f'{", ".join(folders)} (docs/{self.name}.md)'
                )


MINITOWN = Pair('minitown', 'one drawn town to another', Budget())
# On which settings are chosen, so that none is chosen on what is reported.
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
PAIRS = {pair.name: pair for pair in (MINITOWN, OTHER_TOWNS, REAL_STREETS)}

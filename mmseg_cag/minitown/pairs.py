# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The pairs of domains that methods are measured on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mmseg_cag.errors import MissingFileError

ROOT = Path(__file__).parents[2]


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
    """

    images: tuple[int, int, int, int] = (600, 600, 100, 100)
    size: tuple[int, int] = (128, 256)
    supervised_iters: int | None = None
    stage_iters: int | None = None

    @property
    def towns(self) -> dict:
        """Arguments of `draw_minitown`."""
        names = ('source', 'target', 'val', 'synthia')
        counts = dict(zip(names, self.images, strict=True))
        return {'size': tuple(self.size), **counts}


@dataclass(frozen=True)
class Pair:
    """A source and a target.

    Attributes:
        name: Of its folder in ``configs``, of its page in ``docs`` and of its
            results.
        title: What a reader calls it.
        budget: What the configs are for.
        given: Variable of the environment that names the folder of what is
            not drawn, and the folders that it has; None if all is drawn.
    """

    name: str
    title: str
    budget: Budget
    given: tuple[str, tuple[str, ...]] | None = None

    @property
    def configs(self) -> Path:
        """Folder of the configs."""
        return ROOT / 'configs' / self.name

    @property
    def page(self) -> Path:
        """The document with its results."""
        return ROOT / 'docs' / f'{self.name}.md'

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
REAL_STREETS = Pair(
    'real_streets',
    'drawn streets to those of CamVid',
    Budget(images=(600, 0, 0, 0), size=(240, 320)),
    ('CAMVID_ROOT', ('images/train', 'images/val', 'labels/val')),
)
PAIRS = {pair.name: pair for pair in (MINITOWN, REAL_STREETS)}

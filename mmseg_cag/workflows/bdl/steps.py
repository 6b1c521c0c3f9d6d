# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Steps of BDL's loop: training, translation and labelling."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from mmseg_cag.datasets.dataset_configs import require_images_of
from mmseg_cag.datasets.pseudo_label_metadata import METADATA as LABELS
from mmseg_cag.datasets.transforms.load_translated_image import (
    METADATA as IMAGES,
)
from mmseg_cag.engine.checks.require_weights import require_weights
from mmseg_cag.engine.runtime.cpu_distributed import use_gloo_without_gpu
from mmseg_cag.fileio.checkpoints import checkpoint_hash
from mmseg_cag.launch.chain import (
    last_checkpoint,
    load_chain,
    set_work_dir,
    train_runs,
    unfinished_runs,
)
from mmseg_cag.launch.settings import check_settings
from mmseg_cag.workflows.pseudo_labels.make import make_pseudo_labels
from mmseg_cag.workflows.translate import translate_images


@dataclass(eq=False)
class LoopStep(ABC):
    """A step of the loop: a run with its result in its own folder.

    Attributes:
        name: Name of the step and its folder.
        folder: Folder of the result.
        needs: The earlier steps whose results it uses, by role.
    """

    name: str
    folder: Path
    needs: dict[str, LoopStep]

    @property
    @abstractmethod
    def result(self) -> Path:
        """Return the file that identifies the result."""

    @property
    def inputs_sha256(self) -> dict[str, str]:
        """Return the SHA-256 of each input result, by step."""
        return {
            step.name: checkpoint_hash(step.result)
            for step in self.needs.values()
        }

    @abstractmethod
    def check(self) -> None:
        """Check all that can be checked before the first step runs."""

    @abstractmethod
    def run(self) -> None:
        """Produce the result unless it exists; resume a partial one.

        Raises:
            UserError: The folder contains another result.
        """


class Application(LoopStep):
    """Apply a trained network, ``by``, to a whole dataset."""

    # Name of the folder's metadata file, which records the checkpoint.
    metadata: str
    # Called with the network's config, its checkpoint and the folder.
    apply: Callable[[Config, Path, Path], dict]

    @property
    def result(self) -> Path:
        """Return the metadata file of the folder."""
        return self.folder / self.metadata

    def check(self) -> None:
        """Check nothing: the network's run reads the same images."""

    def run(self) -> None:
        """Process the remaining images."""
        by = self.needs['by']
        use_gloo_without_gpu(by.cfg)
        self.apply(by.cfg, by.result, self.folder)


class Translation(Application):
    """Translate the source's images; needs a translator as ``by``."""

    metadata, apply = IMAGES, staticmethod(translate_images)


class Labelling(Application):
    """Make pseudo labels of the target; needs a network as ``by``."""

    metadata, apply = LABELS, staticmethod(make_pseudo_labels)


@dataclass(eq=False)
class Training(LoopStep):
    """Train a translator or a segmentation network from its config.

    The config's warm-up is trained first, as `tools/train.py` does.

    Attributes:
        cfg: The run's config, with its inputs inserted.
    """

    cfg: Config

    def __post_init__(self) -> None:
        set_work_dir(self.cfg, str(self.folder))
        self._chain = load_chain(self.cfg)

    @property
    def result(self) -> Path:
        """Return the final checkpoint."""
        return last_checkpoint(self.cfg)

    def check(self) -> None:
        """Check weights and images that no step produces."""
        for run in self._chain:
            check_settings(run)
            require_weights(run)
            require_images_of(run, 'val_dataloader')
            if run is not self.cfg or 'images' not in self.needs:
                require_images_of(run, 'train_dataloader')

    def run(self) -> None:
        """Train, or resume from the latest checkpoint."""
        self.cfg.inputs_sha256 = self.inputs_sha256 or None
        runs = unfinished_runs(self._chain)
        if not runs:
            print_log(f'{self.result}: complete, reused', 'current')
        train_runs(runs, more=True)

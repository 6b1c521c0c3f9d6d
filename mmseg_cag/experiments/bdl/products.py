# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The steps that apply a trained network to a whole data set."""

from __future__ import annotations

from pathlib import Path

from mmseg_cag.datasets.load_translated_image import NOTE as IMAGES
from mmseg_cag.engine.cpu_distributed import use_gloo_without_gpu
from mmseg_cag.pseudo_labels.label_note import NOTE as LABELS
from mmseg_cag.pseudo_labels.make import make_pseudo_labels
from mmseg_cag.translated_images.translate import translate_images

from .step import LoopStep


class Translation(LoopStep):
    """Translate the source's images; needs a translator as ``by``."""

    @property
    def result(self) -> Path:
        """The note of the folder, which names the checkpoint."""
        return self.folder / IMAGES

    def check(self) -> None:
        """Nothing to check: the translator's run reads the same images."""

    def run(self) -> None:
        """Translate what is not translated yet."""
        by = self.needs['by']
        use_gloo_without_gpu(by.cfg)
        translate_images(by.cfg, by.result, self.folder)


class Labelling(LoopStep):
    """Make pseudo labels of the target; needs a network as ``by``."""

    @property
    def result(self) -> Path:
        """The note of the folder, which names the checkpoint."""
        return self.folder / LABELS

    def check(self) -> None:
        """Nothing to check: the network's run reads the same images."""

    def run(self) -> None:
        """Predict what is not predicted yet, and write all labels."""
        by = self.needs['by']
        use_gloo_without_gpu(by.cfg)
        make_pseudo_labels(by.cfg, by.result, self.folder)

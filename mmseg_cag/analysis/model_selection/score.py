# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor

from mmseg_cag.analysis.runs.network import (
    build_network,
    build_preprocessor,
    read_state,
)
from mmseg_cag.analysis.runs.samples import (
    build_dataset,
    preprocess,
    read_samples,
    source_dataset,
    spread,
)
from mmseg_cag.models.segmentors.base import resize_labels
from mmseg_cag.workflows.pseudo_labels.target_images import target_images

from .agreement import agreement
from .scores import MeanIoU, mean_entropy, soft_neighbourhood_density

# legend: K classes, H W image, h w score map


@dataclass(frozen=True)
class Scorer:
    """Scores the checkpoints of a run without a target label.

    Attributes:
        cfg: The run's config.
        target: The target's training images; no step opens a label.
        source: The labelled source.
        images: Images of each that are looked at, evenly spread.
        pixels: Target pixels that the neighbourhood density is of.
    """

    cfg: Config
    target: BaseSegDataset
    source: BaseSegDataset
    images: int
    pixels: int

    @classmethod
    def of(cls, cfg: Config, images: int, pixels: int) -> Scorer:
        """Open the data of a run.

        Raises:
            MissingFileError: A folder does not exist.
            UserError: The config names no source or no target.
        """
        target = build_dataset(target_images(cfg), 'the target')
        return cls(cfg, target, source_dataset(cfg), images, pixels)

    def __call__(self, checkpoint: Path) -> dict[str, float]:
        """Compute the scores of a checkpoint by name.

        Raises:
            UserError: It is damaged or of another network, or an image
                cannot be read.
        """
        model = build_network(self.cfg, read_state(checkpoint), checkpoint)
        return {
            **self._score_target(model),
            'source_mIoU': self._score_source(model),
        }

    @torch.no_grad()
    def _score_target(self, model: EncoderDecoder) -> dict[str, float]:
        predict = partial(class_scores, model)
        preprocessor = build_preprocessor(self.cfg, 'target')
        indices = spread(self.target, self.images)
        per_image = -(-self.pixels // len(indices))
        entropies, agreements, pixels = [], [], []
        for sample in read_samples(self.target, indices):
            images = preprocess(preprocessor, sample)
            logits = predict(images)
            entropies.append(mean_entropy(logits))
            agreements.append(agreement(predict, images, logits))
            pixels.append(sample_pixels(logits, per_image))
        by_kind = {
            f'agreement_{name}': mean([found[name] for found in agreements])
            for name in agreements[0]
        }
        return {
            'entropy': mean(entropies),
            'snd': soft_neighbourhood_density(torch.cat(pixels)),
            'agreement': mean(list(by_kind.values())),
            **by_kind,
        }

    @torch.no_grad()
    def _score_source(self, model: EncoderDecoder) -> float:
        preprocessor = build_preprocessor(self.cfg, 'source')
        iou = MeanIoU(model.num_classes)
        indices = spread(self.source, self.images)
        for sample in read_samples(self.source, indices):
            logits = class_scores(model, preprocess(preprocessor, sample))
            labels = sample.truth.unsqueeze(0).to(logits.device)
            iou.add(logits, resize_labels(labels, logits))
        return iou.compute()


def class_scores(model: EncoderDecoder, images: Tensor) -> Tensor:
    """Compute class scores (N, K, h, w) of images (N, 3, H, W)."""
    return model(images, mode='tensor').float()


def sample_pixels(logits: Tensor, count: int) -> Tensor:
    """Draw the probabilities (P, K) of pixels of one image (1, K, h, w).

    The same pixels each time, so that checkpoints can be compared.
    """
    flat = logits.softmax(1).flatten(2)[0].T
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(flat), generator=generator)[:count]
    return flat[chosen.to(flat.device)]


def mean(values: Sequence[float]) -> float:
    """Average numbers."""
    return sum(values) / len(values)

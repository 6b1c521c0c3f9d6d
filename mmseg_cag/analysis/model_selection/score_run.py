# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Score all checkpoints of a run, with their mIoU where known."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import torch
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor

from mmseg_cag.analysis.evaluate import evaluate
from mmseg_cag.analysis.runs.network import (
    build_network,
    build_preprocessor,
    read_state,
    view,
)
from mmseg_cag.analysis.runs.run import Run
from mmseg_cag.analysis.runs.samples import (
    build_dataset,
    preprocess,
    read_samples,
    source_dataset,
)
from mmseg_cag.datasets.dataset_configs import spread
from mmseg_cag.engine.records.result_summary_hook import NOTES, read_results
from mmseg_cag.errors import UserError
from mmseg_cag.evaluation.confusion import class_iou, confusion_matrix
from mmseg_cag.fileio.json_file import write_json
from mmseg_cag.models.segmentors.base import resize_labels
from mmseg_cag.progress import track
from mmseg_cag.workflows.pseudo_labels.target_images import target_images

from .choose import choose
from .scores import agreement, mean_entropy, soft_neighbourhood_density

SCORES = 'scores.json'

# legend: K classes, H W image, h w score map


@dataclass(frozen=True)
class Scorer:
    """Scores the checkpoints of a run without target labels.

    Attributes:
        cfg: The run's config.
        target: The target's training images; labels are never opened.
        source: The labelled source.
        images: Number of images used of each, evenly spaced.
        pixels: Number of target pixels for the neighbourhood density.
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
            UserError: The config has no source or no target.
        """
        target = build_dataset(target_images(cfg), 'the target')
        return cls(cfg, target, source_dataset(cfg), images, pixels)

    def __call__(self, checkpoint: Path) -> dict[str, float]:
        """Compute the scores of a checkpoint by name.

        Raises:
            UserError: It is damaged or belongs to another network, or an image
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
            f'agreement_{name}': fmean(found[name] for found in agreements)
            for name in agreements[0]
        }
        return {
            'entropy': fmean(entropies),
            'snd': soft_neighbourhood_density(torch.cat(pixels)),
            'agreement': fmean(by_kind.values()),
            **by_kind,
        }

    @torch.no_grad()
    def _score_source(self, model: EncoderDecoder) -> float:
        preprocessor = build_preprocessor(self.cfg, 'source')
        counts = 0
        for sample in read_samples(
            self.source, spread(self.source, self.images)
        ):
            logits = class_scores(model, preprocess(preprocessor, sample))
            labels = sample.truth.unsqueeze(0).to(logits.device)
            labels = resize_labels(labels, logits)
            counts += confusion_matrix(
                labels, logits.argmax(1), logits.shape[1]
            )
        return 100 * class_iou(counts).nanmean().item()


def class_scores(model: EncoderDecoder, images: Tensor) -> Tensor:
    """Compute class scores (N, K, h, w) of images (N, 3, H, W)."""
    return view(model, images).logits[0].float()


def sample_pixels(logits: Tensor, count: int) -> Tensor:
    """Sample the probabilities (P, K) of pixels of one image (1, K, h, w).

    Always the same pixels, so that checkpoints can be compared.
    """
    flat = logits.softmax(1).flatten(2)[0].T
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(flat), generator=generator)[:count]
    return flat[chosen.to(flat.device)]


def score_run(
    run: Run, images: int, pixels: int, evaluates: bool
) -> list[dict]:
    """Score all checkpoints of a run and write ``scores.json`` into it.

    Args:
        run: The run.
        images: Number of images used of each domain.
        pixels: Number of target pixels for the neighbourhood density.
        evaluates: Whether to evaluate checkpoints without a recorded mIoU.

    Returns:
        Name, iteration, stage, scores and mIoU of each checkpoint; a score
        that is NaN is None.

    Raises:
        UserError: A checkpoint is damaged or data is missing.
    """
    scorer = Scorer.of(run.cfg, images, pixels)
    found = {
        iteration: scorer(checkpoint)
        for iteration, checkpoint in track(
            run.checkpoints.items(), f'Score {run.folder}'
        )
    }
    # After the scores, which must not depend on it.
    results = read_mious(run.folder)
    scores = [
        {
            'checkpoint': run.checkpoints[iteration].name,
            'iter': iteration,
            'stage': run.stage_of(iteration),
            **{k: None if math.isnan(v) else v for k, v in values.items()},
            'mIoU': results.get(iteration),
        }
        for iteration, values in found.items()
    ]
    write_scores(run.folder / SCORES, scores)
    if evaluates:
        results = evaluate_missing(run, results)
        scores = [{**row, 'mIoU': results[row['iter']]} for row in scores]
        write_scores(run.folder / SCORES, scores)
    return scores


def write_scores(path: Path, scores: Sequence[dict]) -> None:
    """Write scores and selections atomically."""
    content = {'scores': list(scores), 'choices': choose(scores)}
    write_json(path, content)


def read_mious(folder: Path) -> dict[int, float]:
    """Read a run's recorded mIoU in percent by iteration.

    Raises:
        UserError: The records are damaged.
    """
    path = folder / NOTES
    notes = read_results(path) if path.is_file() else {}
    if any('mIoU' not in result for result in notes.values()):
        raise UserError(f'{path}: no mIoU, expected results by iteration')
    return {iteration: result['mIoU'] for iteration, result in notes.items()}


def evaluate_missing(run: Run, results: dict[int, float]) -> dict[int, float]:
    """Evaluate the checkpoints of a run without a result.

    Args:
        run: The run.
        results: Known mIoU by iteration.
    """
    with tempfile.TemporaryDirectory() as folder:
        return {
            iteration: results[iteration]
            if iteration in results
            else evaluate(run.cfg, checkpoint, Path(folder))
            for iteration, checkpoint in run.checkpoints.items()
        }

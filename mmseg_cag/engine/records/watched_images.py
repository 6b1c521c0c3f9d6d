# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Images for comparing a network with its starting point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from torch import nn
from torch.utils.data import Dataset

from mmseg_cag.datasets.dataset_configs import leaves, spread
from mmseg_cag.datasets.roles import file_sha256
from mmseg_cag.engine.runtime.norm_statistics import (
    estimate_statistics,
    norms_of,
)
from mmseg_cag.errors import UserError
from mmseg_cag.evaluation.confusion import confusion_matrix
from mmseg_cag.models.segmentors.base import UDASegmentor, evaluating
from mmseg_cag.models.student import student_pipeline

# legend: N images, K classes, H W image, P pixels

PIXELS = 2**14  # number of pixels kept of a prediction


class WatchedImages:
    """Images of a domain, split over ranks and predicted one by one.

    Args:
        datasets: Datasets of the images.
        domain: Domain whose preprocessor is used.
        count: Maximum number, evenly spaced; None for all.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],
        domain: str,
        count: int | None = None,
    ) -> None:
        self.domain = domain
        each = None if count is None else -(-count // len(datasets))
        self.items = [
            (dataset, index)
            for dataset in datasets
            for index in spread(dataset, each)
        ]

    def hashes(self) -> list[str]:
        """Hash the image files, which identifies them anywhere."""
        return [
            file_sha256(
                dataset.get_data_info(index)['img_path'],
                getattr(dataset, 'backend_args', None),
            )
            for dataset, index in self.items
        ]

    def predict(self, model: UDASegmentor) -> np.ndarray:
        """Predict the classes of evenly spaced pixels (P,) of all images."""
        found = self._each(model, lambda sample: thin(_prediction(sample)))
        return np.concatenate(found).astype(np.int16)

    def confidence(self, model: UDASegmentor) -> float:
        """Compute the mean probability of the predicted class."""
        found = self._each(
            model,
            lambda sample: _probabilities(sample).amax(0).mean().cpu().numpy(),
        )
        return float(np.mean(found))

    def count(self, model: UDASegmentor, num_classes: int) -> np.ndarray:
        """Compute the confusion matrix of each labelled image (N, K, K).

        Raises:
            UserError: The dataset reads no labels.
        """

        def confusion(sample: SegDataSample) -> np.ndarray:
            if 'gt_sem_seg' not in sample:
                raise UserError(
                    'default_hooks.do_no_harm.labelled: the pipeline reads no '
                    'labels, expected a step that loads them'
                )
            truth = sample.gt_sem_seg.data.squeeze(0)
            return confusion_matrix(
                truth, _prediction(sample).to(truth.device), num_classes
            ).numpy()

        return np.stack(self._each(model, confusion))

    def reestimated(self, model: UDASegmentor) -> np.ndarray | None:
        """Predict with batch norms estimated on these images.

        The statistics are restored afterwards.

        Returns:
            Pixels (P,); None if no norm can be estimated.
        """
        norms = norms_of(model).values()
        waits = any(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
        if waits or not norms:
            return None
        kept = [
            {k: v.clone() for k, v in norm.state_dict().items()}
            for norm in norms
        ]
        try:
            estimate_statistics(model, self._batches(model))
            return self.predict(model)
        except UserError:  # a norm with a single value per channel
            return None
        finally:
            for norm, state in zip(norms, kept, strict=True):
                norm.load_state_dict(state)

    @torch.no_grad()
    def _each(
        self,
        model: UDASegmentor,
        reduce: Callable[[SegDataSample], np.ndarray],
    ) -> list[np.ndarray]:
        with evaluating(model), predicting_classes(model):
            own = [
                reduce(*model.predict(**batch))
                for batch in self._batches(model)
            ]
        shared = all_gather_object(own)
        number = len(shared)
        return [
            shared[i % number][i // number] for i in range(len(self.items))
        ]

    def _batches(self, model: UDASegmentor) -> Iterator[dict]:
        """Yield preprocessed images of this rank."""
        preprocessor = model.data_preprocessor.of(self.domain)
        for dataset, index in self.items[get_rank() :: get_world_size()]:
            sample = dataset[index]
            batch = {key: [value] for key, value in sample.items()}
            yield preprocessor(batch, False)


@contextmanager
def predicting_classes(model: UDASegmentor) -> Iterator[None]:
    """Predict no unknown pixels: a starting network has no limits yet."""
    kept = model.test_cfg
    model.test_cfg = ConfigDict(kept, unknown=False)
    try:
        yield
    finally:
        model.test_cfg = kept


def domain_datasets(cfg: Config, labelled: bool) -> list[Dataset]:
    """Build evaluation datasets of a run's source or target.

    Labels are not read.

    Args:
        cfg: The run's config.
        labelled: Whether to select the labelled domains.
    """
    pipeline = student_pipeline(cfg)
    return [
        DATASETS.build({**part, 'pipeline': pipeline})
        for part in domain_parts(cfg, labelled)
    ]


def domain_parts(cfg: Config, labelled: bool) -> list[dict]:
    """List the dataset configs of a run's source or target.

    A few labels of the target are no source, unless there is no other.
    """
    dataset = cfg.train_dataloader.dataset
    names = dataset.get('labelled', ['source'])
    found = leaves(dataset, 'train_dataloader.dataset', whole=('RoleSubset',))
    parts = [
        part for _, name, part in found if part and (name in names) == labelled
    ]
    if not labelled:
        return parts
    return [part for part in parts if part['type'] != 'RoleSubset'] or parts


def thin(prediction: torch.Tensor) -> np.ndarray:
    """Take evenly spaced pixels (P,) of a prediction (H, W)."""
    step = max(1, round((prediction.numel() / PIXELS) ** 0.5))
    return prediction[::step, ::step].flatten().cpu().numpy()


def _prediction(sample: SegDataSample) -> torch.Tensor:
    return sample.pred_sem_seg.data.squeeze(0)


def _probabilities(sample: SegDataSample) -> torch.Tensor:
    """Return the probabilities (K, H, W) of a sample."""
    scores = sample.seg_logits.data.float()
    if len(scores) == 1:  # a sigmoid's
        return torch.cat([1 - scores, scores])
    sums = scores.sum(0)
    is_done = scores.min() >= 0 and torch.allclose(sums, sums.new_ones(1))
    return scores if is_done else scores.softmax(0)

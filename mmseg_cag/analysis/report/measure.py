# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Compute values from checkpoints that a run did not record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from mmseg.datasets import BaseSegDataset

from mmseg_cag.analysis.runs.labeling_network import LabelingNetwork
from mmseg_cag.analysis.runs.network import build_preprocessor, predict_map
from mmseg_cag.analysis.runs.samples import (
    Sample,
    read_samples,
    target_dataset,
)
from mmseg_cag.datasets.dataset_configs import spread
from mmseg_cag.errors import UserError
from mmseg_cag.evaluation.confusion import confusion_matrix
from mmseg_cag.models.segmentors.base import SegOutput

from .anchors import Anchors, anchors_of
from .networks import Loaded, Network, load_network
from .run import RecordedRun
from .score import Activity, Score, score_of_confusion, score_of_validation
from .unknown import Unknown

# legend: K classes, H W image, h w feature map

Progress = Callable[[Sequence[int], str], Iterator[int]]


@dataclass
class Shown:
    """A target image with the predictions of a run's networks.

    Attributes:
        path: Path of the image.
        image: (H, W, 3) uint8, RGB.
        truth: Class map (H, W) uint8, for display; None without labels.
        predictions: Class maps (H, W) uint8 by title of the network.
        pseudo: The last teacher's labels (h, w) uint8, if there is one.
    """

    path: str
    image: np.ndarray
    truth: np.ndarray | None
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    pseudo: np.ndarray | None = None

    @classmethod
    def of(cls, sample: Sample) -> Shown:
        """Convert a sample's BGR image and its ground truth."""
        pixels = sample.image.numpy()[::-1].transpose(1, 2, 0)
        truth = sample.truth.numpy() if sample.has_truth else None
        return cls(
            sample.data.img_path,
            np.ascontiguousarray(pixels),
            None if truth is None else truth.astype(np.uint8),
        )


@dataclass
class Measured:
    """Results of a run's networks on validation images.

    Attributes:
        networks: The networks.
        scores: Scores by title of the network.
        samples: The images to show, by index in the validation set.
        activities: Activities of the stages' teachers, by network title.
        anchors: Anchors in the checkpoints, by network title.
        unknown: Unknown pixels of the last network, if it has limits.
        missing: A line for each value that could not be computed.
        total: Number of validation images.
        indices: Images used to compute unrecorded values.
    """

    networks: list[Network]
    scores: dict[str, Score] = field(default_factory=dict)
    samples: dict[int, Shown] = field(default_factory=dict)
    activities: dict[str, Activity] = field(default_factory=dict)
    anchors: dict[str, Anchors] = field(default_factory=dict)
    unknown: Unknown | None = None
    missing: list[str] = field(default_factory=list)
    total: int = 0
    indices: list[int] = field(default_factory=list)

    def is_whole(self, score: Score) -> bool:
        """Return whether a score's IoU is of all validation images."""
        return score.is_recorded or len(self.indices) == self.total

    @property
    def start(self) -> Network | None:
        """Return the network that the run started from."""
        return next((n for n in self.networks if n.is_start), None)

    @property
    def last(self) -> Network | None:
        """Return the last network, if there is one."""
        return next((n for n in self.networks[::-1] if not n.is_start), None)


def measure(
    run: RecordedRun,
    networks: list[Network],
    images: int,
    shown: int,
    progress: Progress,
) -> Measured:
    """Score the networks of a run and collect their images.

    Args:
        run: The run.
        networks: Its networks.
        images: Number of images to compute unrecorded scores on.
        shown: Number of these images to show.
        progress: Iterates over images and shows the progress.
    """
    result = Measured(networks)
    classes = run.classes
    for network in networks:
        score = score_of_validation(network.validation, classes)
        if score:
            result.scores[network.title] = score
    dataset = collect_samples(run, result, images, shown)
    for network in networks:
        try:
            loaded = load_network(network)
            anchors = anchors_of(loaded.state)
            if anchors and not network.is_start:
                result.anchors[network.title] = anchors
            if dataset is not None:
                look(run, network, loaded, dataset, result, progress)
        except UserError as error:
            result.missing.append(str(error))
    return result


def collect_samples(
    run: RecordedRun, result: Measured, images: int, shown: int
) -> BaseSegDataset | None:
    """Open the validation set and read the images to show.

    Bad files are reported, readable ones shown.
    """
    try:
        dataset = open_validation(run)
        result.total = len(dataset)
        result.indices = spread(dataset, images)
        indices = [result.indices[i] for i in spread(result.indices, shown)]
        samples = list(read_samples(dataset, indices))
    except UserError as error:
        result.missing.append(str(error))
        return None
    result.samples = {
        index: Shown.of(sample)
        for index, sample in zip(indices, samples, strict=True)
    }
    return dataset


def note_unknown(
    teacher: LabelingNetwork,
    seen: SegOutput,
    sample: Sample,
    result: Measured,
) -> None:
    """Collect an image's unknown pixels, if there are limits."""
    if teacher.head.unknown is None:
        return
    unknown = teacher.head.unknown(teacher.bank.distances(seen.feat))
    result.unknown = result.unknown or Unknown()
    image = Shown.of(sample).image
    result.unknown.add(image, unknown[0], seen.feat[0])


def open_validation(run: RecordedRun) -> BaseSegDataset:
    """Build the target's validation set, with any labels for display.

    Raises:
        UserError: The config or the data is missing.
    """
    if not run.cfg:
        raise UserError('val_dataloader: no config names validation images')
    try:
        return target_dataset(run.cfg)
    except UserError:
        raise
    # A dataset of another version may raise anything.
    except Exception as error:
        line = str(error).strip().partition('\n')[0]
        raise UserError(
            f'validation images: cannot be read ({line})'
        ) from error


def look(
    run: RecordedRun,
    network: Network,
    loaded: Loaded,
    dataset: BaseSegDataset,
    result: Measured,
    progress: Progress,
) -> None:
    """Predict images, count errors and labels, keep images to show."""
    recorded = result.scores.get(network.title)
    is_scored = recorded is not None and recorded.confusion is not None
    is_counted = loaded.teacher is None or bool(run.looks_by_stage)
    activity = None
    if loaded.teacher and (not is_counted or network == result.last):
        preprocessor = build_preprocessor(network.cfg, 'target')
        activity = Activity(loaded.teacher.head)
    indices = result.indices
    if is_scored and is_counted:
        indices = [*result.samples]
    classes = dataset.metainfo['classes']
    confusion = np.zeros((len(classes),) * 2, np.int64)
    for index in progress(indices, f'Predict: {network.title}'):
        [sample] = read_samples(dataset, [index])
        prediction = predict_map(loaded.model, sample)
        if sample.has_truth:
            confusion += confusion_matrix(
                sample.truth, torch.from_numpy(prediction), len(classes)
            ).numpy()
        labels = None
        if activity:
            seen = loaded.teacher.see(preprocessor, sample)
            labels = activity.add(loaded.teacher.assign(seen, activity.kind))
            if network == result.last:
                note_unknown(loaded.teacher, seen, sample, result)
        if shown := result.samples.get(index):
            shown.predictions[network.title] = prediction.astype(np.uint8)
            shown.pseudo = labels
    if confusion.any() and not is_scored:
        counted = dict(confusion=confusion, images=len(indices))
        result.scores[network.title] = (
            replace(recorded, **counted)
            if recorded
            else score_of_confusion(classes=classes, **counted)
        )
    if not is_counted:
        result.activities[network.title] = activity

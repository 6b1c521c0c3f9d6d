# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a run has not recorded and its checkpoints still tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmseg.models.segmentors import EncoderDecoder

from mmseg_cag.errors import UserError

from .anchors import Anchors, anchors_of
from .load_network import load_network
from .networks import Network
from .pseudo_labels import Activity, find_labeler
from .run import Run
from .samples import (
    Sample,
    build_dataset,
    read_sample,
    spread_indices,
    truth_of,
)
from .score import (
    Score,
    count_confusion,
    score_of_confusion,
    score_of_validation,
)

# legend: K classes, H W image, h w feature map

Progress = Callable[[Sequence[int], str], Iterator[int]]


@dataclass
class Measured:
    """What the networks of a run do on validation images.

    Attributes:
        networks: The networks.
        scores: By title of the network.
        samples: The pictures to show, by their place in the validation set.
        activities: By title of the network, of the stages' labelers.
        anchors: By title of the network, as its checkpoint holds them.
        missing: A line for each thing that could not be computed.
        total: Images of the validation set.
    """

    networks: list[Network]
    scores: dict[str, Score] = field(default_factory=dict)
    samples: dict[int, Sample] = field(default_factory=dict)
    activities: dict[str, Activity] = field(default_factory=dict)
    anchors: dict[str, Anchors] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    total: int = 0

    @property
    def start(self) -> Network | None:
        """The network that the run started from."""
        return next((n for n in self.networks if n.is_start), None)

    @property
    def last(self) -> Network | None:
        """The network that it ended with, if it has come to one."""
        return next((n for n in self.networks[::-1] if not n.is_start), None)


def measure(
    run: Run,
    networks: list[Network],
    images: int,
    shown: int,
    progress: Progress,
) -> Measured:
    """Score and picture the networks of a run.

    Args:
        run: The run.
        networks: Its networks.
        images: Images to compute a score on that was not recorded.
        shown: Images of them to picture.
        progress: Iterates over images and shows how many are done.
    """
    result = Measured(networks)
    classes = run.classes
    for network in networks:
        score = score_of_validation(network.validation, classes)
        if score:
            result.scores[network.title] = score
    dataset = collect_samples(run, result, shown)
    for network in networks:
        try:
            model = load_network(network)
        except UserError as error:
            result.missing.append(str(error))
            continue
        if not network.is_start and (anchors := anchors_of(model)):
            result.anchors[network.title] = anchors
        if dataset is not None:
            look(network, model, dataset, images, result, progress)
    return result


def collect_samples(
    run: Run, result: Measured, shown: int
) -> BaseDataset | None:
    """Open the validation set and read what is pictured of it.

    Bad files are noted, what can be read is shown.
    """
    try:
        dataset = build_dataset(run)
    except UserError as error:
        result.missing.append(str(error))
        return None
    result.total = len(dataset)
    try:
        for index in spread_indices(len(dataset), shown):
            result.samples[index] = read_sample(dataset, index)
    # A file that is damaged or gone makes its reader fail in any way at all.
    except Exception as error:
        result.samples.clear()
        line = str(error).strip().partition('\n')[0]
        result.missing.append(f'validation images: cannot be read ({line})')
        return None
    return dataset


@torch.no_grad()
def look(
    network: Network,
    model: EncoderDecoder,
    dataset: BaseDataset,
    images: int,
    result: Measured,
    progress: Progress,
) -> None:
    """Predict images with a network, count its errors, keep the pictures."""
    recorded = result.scores.get(network.title)
    labeler = None if network.is_start else find_labeler(model)
    indices = set(result.samples)
    if recorded is None or recorded.confusion is None or labeler:
        indices |= {*spread_indices(len(dataset), images)}
    classes = dataset.metainfo['classes']
    size = len(classes)
    confusion = np.zeros((size, size), np.int64)
    for index in progress(sorted(indices), f'Predict: {network.title}'):
        sample = dataset[index]
        [done] = model.test_step({k: [v] for k, v in sample.items()})
        prediction = done.pred_sem_seg.data[0].cpu().numpy().astype(np.uint8)
        truth = truth_of(sample)
        if truth is not None:
            confusion += count_confusion(truth, prediction, size)
        batch = {key: [value] for key, value in sample.items()}
        labels = labeler.label(batch) if labeler else None
        if shown := result.samples.get(index):
            shown.predictions[network.title] = prediction
            shown.pseudo = labels if labeler else shown.pseudo
    if confusion.any():
        keep_score(result, network, confusion, classes, len(indices))
    if labeler:
        result.activities[network.title] = labeler.activity


def keep_score(
    result: Measured,
    network: Network,
    confusion: np.ndarray,
    classes: Sequence[str],
    images: int,
) -> None:
    """Note a computed score where the run recorded none."""
    recorded = result.scores.get(network.title)
    computed = score_of_confusion(confusion, classes, images)
    if recorded is None:
        result.scores[network.title] = computed
    elif recorded.confusion is None:
        result.scores[network.title] = Score(
            recorded.mean, recorded.iou, confusion, images
        )

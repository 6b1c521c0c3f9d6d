# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Try remedies for a domain gap that need no training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor, nn

from mmseg_cag.analysis.model_selection.scores import mean_entropy, resize
from mmseg_cag.analysis.runs.network import view
from mmseg_cag.analysis.runs.samples import Sample, preprocess
from mmseg_cag.engine.runtime.norm_statistics import (
    estimate_statistics,
    norms_of,
)
from mmseg_cag.errors import UserError
from mmseg_cag.evaluation.bootstrap import (
    bootstrap,
    class_counts,
    group_sums,
    iou_of,
    mean_of,
)
from mmseg_cag.evaluation.confusion import confusion_matrix
from mmseg_cag.models.segmentors.base import resize_labels

from .observe import classes_of
from .prior import log_ratios

# legend: N images, K classes, H W image, h w score map

BATCH = 4  # batch size to re-estimate batch norm statistics
Predict = Callable[[Tensor], Tensor]


class Tried(NamedTuple):
    """Effect of a remedy on the frozen network's predictions.

    Attributes:
        name: Name of the remedy.
        changed: Share of pixels that change class.
        entropy: Mean entropy, in nats; no proof of quality.
        gain: Gain in mIoU, in percent, with the ends of its 95 % interval, at
            the resolution of the scores; None without labels, or with those of
            a single group.
    """

    name: str
    changed: float
    entropy: float
    gain: tuple[float, float, float] | None


def try_remedies(
    model: EncoderDecoder,
    preprocessor: nn.Module,
    samples: Sequence[Sample],
    groups: Sequence[str],
    priors: tuple[np.ndarray, np.ndarray],
    estimate: str,
    scale: float,
) -> list[Tried]:
    """Try each remedy on images, with labels or without.

    Args:
        model: The network; left unchanged.
        preprocessor: Preprocessor of the target images.
        samples: The images.
        groups: Group of each image, such as its drive.
        priors: Class prior of the source and of the target (K,).
        estimate: Which classes' prior is estimated, and by what.
        scale: Factor by which the input is resized, 1 for none.
    """
    images = [preprocess(preprocessor, sample) for sample in samples]

    def plain(batch: Tensor) -> Tensor:
        return view(model, batch).logits[0].float()

    moved = torch.from_numpy(log_ratios(*priors))

    def reweighted(batch: Tensor) -> Tensor:
        return plain(batch) + moved.to(batch)[:, None, None]

    def rescaled(batch: Tensor) -> Tensor:
        size = [max(round(scale * side), 32) for side in batch.shape[-2:]]
        wanted = plain(batch).shape[-2:]
        return resize(plain(resize(batch, tuple(size))), wanted)

    remedies: dict[str, Predict] = {'as it is': plain}
    if not np.allclose(*priors):
        remedies[f're-weight by the class prior ({estimate})'] = reweighted
    renewed = with_own_statistics(model, images, samples)
    if renewed is not None:
        remedies['re-estimate batch norms'] = lambda batch: (
            view(renewed, batch).logits[0].float()
        )
    if scale != 1:
        remedies[f'resize the input by {scale:.2f}'] = rescaled
    return _compare(model, remedies, images, samples, groups)


def with_own_statistics(
    model: EncoderDecoder, images: list[Tensor], samples: Sequence[Sample]
) -> EncoderDecoder | None:
    """Copy a network and re-estimate its batch norms on the images.

    Returns:
        The copy; None if it has no batch norms, or, after a line that says
        so, if one sees a single value.
    """
    if not norms_of(model):
        return None
    by_size: dict[torch.Size, list[int]] = {}
    for i, image in enumerate(images):
        by_size.setdefault(image.shape, []).append(i)
    batches = [
        dict(
            inputs=torch.cat([images[i] for i in part]),
            data_samples=[samples[i].data for i in part],
        )
        for same in by_size.values()
        for part in _batches(same)
    ]
    renewed = copy.deepcopy(model)
    try:
        estimate_statistics(renewed, batches)
    except UserError:  # a norm with a single value per channel
        print(
            're-estimate batch norms: left out, a norm sees one value of an '
            'image, and no other has the size of that image'
        )
        return None
    return renewed


def _batches(items: list[int]) -> list[list[int]]:
    """Split into batches; a single one left over joins the last."""
    starts = [*range(0, max(len(items) - 1, 1), BATCH)]
    ends = [*starts[1:], len(items)]
    return [items[a:b] for a, b in zip(starts, ends, strict=True)]


def _compare(
    model: EncoderDecoder,
    remedies: dict[str, Predict],
    images: list[Tensor],
    samples: Sequence[Sample],
    groups: Sequence[str],
) -> list[Tried]:
    """Compare each remedy with the first one, the identity."""
    counts: dict[str, list] = {name: [] for name in remedies}
    changed = dict.fromkeys(remedies, 0.0)
    entropy = dict.fromkeys(remedies, 0.0)
    for image, sample in zip(images, samples, strict=True):
        before = None
        for name, predict in remedies.items():
            logits = predict(image)
            labels = classes_of(model.decode_head, logits)
            before = labels if before is None else before
            changed[name] += (labels != before).float().mean().item()
            entropy[name] += mean_entropy(logits)
            if sample.has_truth:
                truth = resize_labels(sample.truth[None], logits)
                found = confusion_matrix(truth, labels.cpu(), logits.shape[1])
                counts[name].append(found.numpy())
    number = len(images)
    first = next(iter(remedies))
    return [
        Tried(
            name,
            changed[name] / number,
            entropy[name] / number,
            _gain(counts[name], counts[first], groups),
        )
        for name in remedies
    ]


def _gain(
    with_it: list, without: list, groups: Sequence[str]
) -> tuple[float, float, float] | None:
    if not with_it or len({*groups}) < 2:
        return None
    units = [class_counts(np.stack(part)) for part in (with_it, without)]
    width = units[0].shape[1]

    def gain(sums: np.ndarray) -> np.ndarray:
        scores = mean_of(iou_of(sums[:, :width]))
        return 100 * (scores - mean_of(iou_of(sums[:, width:])))

    both = group_sums(np.concatenate(units, 1), groups)
    found = bootstrap(both, gain, resamples=1000)
    ends = found.value[0], found.low[0], found.high[0]
    return tuple(round(float(x), 2) for x in ends)

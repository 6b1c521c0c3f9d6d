# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Comparison of an adapted network with its starting point."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_cag.datasets.roles import read_roles
from mmseg_cag.errors import UserError
from mmseg_cag.evaluation.confusion import class_iou
from mmseg_cag.models.segmentors.base import UDASegmentor
from mmseg_cag.monitor.harm import Limits, Seen, lacks_labels, signs_of_harm
from mmseg_cag.monitor.monitor_hook import RECORDS
from mmseg_cag.monitor.record_file import RecordFile

from .watched_images import WatchedImages, domain_datasets, domain_parts

# legend: N images, K classes, P pixels

Before = dict[str, np.ndarray]
LABELLED = 'default_hooks.do_no_harm.labelled'


class Verdict(NamedTuple):
    """Result of a comparison.

    Attributes:
        lost: Whether the adapted network is worse.
        reason: Phrase with the evidence.
        score: mIoU in percent of the adapted network; None without labels.
    """

    lost: bool
    reason: str
    score: float | None = None


class ByLabels:
    """Compare by mIoU on labelled images of the target.

    The adapted network has lost if the 95 % interval of the difference, from a
    paired bootstrap over images, is below 0; with too few of them or of their
    groups for such an interval it never has.

    Args:
        dataset: Config of a labelled evaluation dataset.
        classes: Classes of the network.

    Attributes:
        doubt: Why it never says that a network has lost; None if it may.

    Raises:
        UserError: Its classes differ, or it has fewer than two images or
            groups of images.
    """

    def __init__(self, dataset: dict, classes: Sequence[str]) -> None:
        built = DATASETS.build(dataset)
        if list(built.metainfo['classes']) != list(classes):
            raise UserError(
                f'{LABELLED}: has the classes '
                f'{list(built.metainfo["classes"])}, expected those of '
                f'training, {list(classes)}'
            )
        self.groups = groups_of(dataset)
        units = len(built) if self.groups is None else len({*self.groups})
        if units < 2:
            raise UserError(
                f'{LABELLED}: {units} group of images (one that no group '
                'names is its own), expected at least 2 for a bootstrap'
            )
        # Imported here, as in `compare_mean_iou`.
        from mmseg_cag.evaluation.bootstrap import MIN_GROUPS

        self.doubt = None
        if units < MIN_GROUPS:
            self.doubt = (
                f'{LABELLED}: {units} groups of images are too few for a 95 % '
                f'interval, expected {MIN_GROUPS} or more: harm is not found'
            )
        self.images = WatchedImages([built], 'target')
        self.classes = list(classes)

    def subject(self) -> list[str]:
        """List the classes and the hashes of the images."""
        return ['labels', *self.classes, *self.images.hashes()]

    def note(self, model: UDASegmentor) -> Before:
        """Count the pixels of each image.

        Raises:
            UserError: None of them has a class.
        """
        confusion = self.images.count(model, len(self.classes))
        if not confusion.any():
            raise UserError(f'{LABELLED}: no pixel has a class, expected some')
        return {'confusion': confusion}

    def judge(self, before: Before, model: UDASegmentor) -> Verdict:
        """Compare the mIoU."""
        now = self.images.count(model, len(self.classes))
        old = before['confusion']
        gain, low, high = compare_mean_iou(old, now, self.groups)
        score, start = mean_iou(now), mean_iou(old)
        reason = (
            f'mIoU {score:.1f} against {start:.1f} before on {len(now)} '
            f'labelled images, {gain:+.1f} ({low:+.1f} to {high:+.1f})'
        )
        return Verdict(high < 0 and self.doubt is None, reason, score)

    def is_blind(self, model: UDASegmentor) -> str | None:
        """Return None: labels apply to any network."""
        return None

    def score_before(self, before: Before) -> float:
        """Compute the mIoU in percent of the network before."""
        return mean_iou(before['confusion'])


class BySigns:
    """Compare by known signs of harm, without labels.

    Args:
        cfg: The run's config.
        classes: Classes of the network.
        images: Number of images per domain.
        limits: Thresholds from which a change counts as harm.
    """

    def __init__(
        self, cfg: Config, classes: Sequence[str], images: int, limits: Limits
    ) -> None:
        self.target, self.source = (
            WatchedImages(domain_datasets(cfg, labelled), domain, images)
            for labelled, domain in ((False, 'target'), (True, 'source'))
        )
        self.records = RecordFile(Path(cfg.work_dir, RECORDS))
        self.classes = list(classes)
        self.limits = limits

    def subject(self) -> list[str]:
        """List the classes and the hashes of the images."""
        images = [*self.target.hashes(), *self.source.hashes()]
        return ['signs', *self.classes, *images]

    def note(self, model: UDASegmentor) -> Before:
        """Predict; on the target also with re-estimated batch norms."""
        before = self._predict(model)
        again = self.target.reestimated(model)
        return before if again is None else {**before, 'reestimated': again}

    def is_blind(self, model: UDASegmentor) -> str | None:
        """Return why a network is no valid baseline, or None."""
        sure = self.source.confidence(model)
        if sure >= self.limits.sure:
            return None
        return (
            'the initial network has not learnt the source yet (mean '
            f'probability {sure:.2f}, expected {self.limits.sure} or more)'
        )

    def judge(self, before: Before, model: UDASegmentor) -> Verdict:
        """Check for signs of harm."""
        now = Seen(**self._predict(model))
        remedies = [before[key] for key in ('reestimated',) if key in before]
        old = Seen(before['target'], before['source'])
        signs = signs_of_harm(old, now, remedies, self.classes, self.limits)
        if few := lacks_labels(self.records.read(), self.limits):
            signs.append(few)
        return Verdict(bool(signs), '; '.join(signs) or 'no sign of harm')

    def _predict(self, model: UDASegmentor) -> Before:
        return {
            'target': self.target.predict(model),
            'source': self.source.predict(model),
        }


def images_to_choose_by(cfg: Config) -> dict | None:
    """Find the labelled validation images with the role ``choose``.

    Args:
        cfg: The run's config.
    """
    dataset = (cfg.get('val_dataloader') or {}).get('dataset') or {}
    is_role = dataset.get('type') == 'RoleSubset'
    return dataset if is_role and dataset.get('role') == 'choose' else None


def groups_of(dataset: dict) -> list[str] | None:
    """List each image's group; images without one are their own group.

    Args:
        dataset: Config of the data set.
    """
    if dataset['type'] != 'RoleSubset' or not dataset.get('role'):
        return None
    images = read_roles(dataset['roles']).of(dataset['role'])
    images = images[: dataset.get('first')]
    return [image.group or image.image for image in images]


def has_source(cfg: Config) -> bool:
    """Return whether a run has a source and a test pipeline."""
    tests = cfg.get('test_dataloader') or cfg.get('test_pipeline')
    return bool(tests) and bool(domain_parts(cfg, labelled=True))


def mean_iou(confusions: np.ndarray) -> float:
    """Compute the mIoU in percent over all images (N, K, K).

    Of the classes with labels, as in `compare_mean_iou`.
    """
    total = torch.as_tensor(confusions.sum(0))
    return 100 * class_iou(total)[total.sum(1) > 0].nanmean().item()


def compare_mean_iou(
    before: np.ndarray,
    now: np.ndarray,
    groups: Sequence[Hashable] | None = None,
) -> tuple[float, float, float]:
    """Compute the gain in mIoU with its 95 % interval.

    Bootstrap samples are paired: an image that is hard for both networks does
    not widen the interval. Classes without a label are left out.

    Args:
        before: Confusion matrix of each image (N, K, K), first network.
        now: Likewise of the second network, on the same images.
        groups: Group name of each image; groups are drawn as a whole.

    Returns:
        The difference in percent, and both ends of the interval.
    """
    # Imported here: loads scipy's distributions, which no other run needs.
    from mmseg_cag.evaluation import bootstrap as b

    units = np.concatenate([b.class_counts(c) for c in (before, now)], 1)
    if groups is not None:
        units = b.group_sums(units, groups)

    def gain(sums: np.ndarray) -> np.ndarray:
        old, new = (b.mean_of(b.iou_of(s)) for s in np.split(sums, 2, 1))
        return 100 * (new - old)

    found = b.bootstrap(units, gain)
    return found.value.item(), found.low.item(), found.high.item()

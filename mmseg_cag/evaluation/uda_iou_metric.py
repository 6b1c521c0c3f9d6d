# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import MessageHub, MMLogger, print_log
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from torch import Tensor

from mmseg_cag.errors import UserError

from .confusion import class_iou, confusion_matrix

# Message hub key of the last evaluation's counts; not logged.
CONFUSION = 'confusion_matrix'

CLASS = 'IoU.'  # prefix of class results
TEACHER = 'teacher/'  # prefix of a mean teacher's results

# legend: K classes, H W label


@METRICS.register_module()
class UDAIoUMetric(IoUMetric):
    """mmseg's IoU with results per class, class set and domain.

    A set selects entries of the IoU of all classes: the network predicts all
    of them, and predictions of others still count as errors. Classes in
    neither labels nor predictions are excluded from means; classes only in
    predictions have 0. The confusion matrix goes to the message hub. For a
    `DomainPool` each domain also has its own ``mIoU.<domain>``, the mean over
    the classes that it labels. Predictions written to ``output_dir`` keep the
    images' subfolders.

    Args:
        class_sets: Name of a mean, such as ``mIoU16`` -> the names of its
            classes.
        **kwargs: Arguments of mmseg's `IoUMetric`.

    Attributes:
        image_folder: Root of the predictions' subfolders, set by
            `CheckDataHook`; None writes all into one folder.

    Raises:
        UserError: ``iou_metrics`` lacks mIoU.
    """

    image_folder: str | None = None

    def __init__(
        self, class_sets: dict[str, Sequence[str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if 'mIoU' not in self.metrics:
            raise UserError(
                f'UDAIoUMetric: iou_metrics={self.metrics}, expected mIoU '
                'among them'
            )
        self.class_sets = class_sets or {}
        self._sizes: set[tuple[int, int]] = set()
        self._is_stated = False

    @IoUMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """Set the dataset's classes before evaluation.

        Raises:
            UserError: A set names an unknown class.
        """
        for name, chosen in self.class_sets.items():
            for wanted in chosen:
                if wanted not in dataset_meta['classes']:
                    raise UserError(
                        f'class_sets.{name}: {wanted!r} is no class of the '
                        'data set, which has '
                        f'{", ".join(dataset_meta["classes"])}'
                    )
        self._dataset_meta = dataset_meta

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch and record the sizes (H, W).

        Raises:
            UserError: A label has an invalid id.
        """
        written = self.output_dir
        for sample in data_samples:
            if not self.format_only:
                self._require_classes(sample)
            if written and self.image_folder is not None:
                folder = os.path.dirname(sample['img_path'])
                below = folder.removeprefix(self.image_folder).strip('/')
                self.output_dir = os.path.join(written, below)
                os.makedirs(self.output_dir, exist_ok=True)
            super().process(data_batch, [sample])
            if 'domain' in sample and not self.format_only:
                domain = sample['domain'], sample.get('absent', ())
                self.results[-1] = (self.results[-1], domain)
        self.output_dir = written
        self._sizes |= {
            tuple(sample['pred_sem_seg']['data'].shape[-2:])
            for sample in data_samples
        }

    def _require_classes(self, sample: dict) -> None:
        ids = sample['gt_sem_seg']['data']
        number = len(self.dataset_meta['classes'])
        wrong = ids[(ids != self.ignore_index) & (ids >= number)]
        if len(wrong):
            raise UserError(
                f'{sample.get("seg_map_path")}: found the id '
                f'{wrong[0].item()}, expected those of the {number} classes, '
                f'from 0, and {self.ignore_index}'
            )

    @staticmethod
    def intersect_and_union(
        pred_label: Tensor, label: Tensor, num_classes: int, ignore_index: int
    ) -> Tensor:
        """Compute an image's confusion matrix (K, K), instead of areas."""
        counts = label != ignore_index
        return confusion_matrix(label[counts], pred_label[counts], num_classes)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics, in percent.

        Args:
            results: Confusion matrix (K, K) of each image, for a pool with the
                domain: its name and the classes that it does not label.

        Returns:
            mmseg's metrics, the mean of each class set, and ``IoU.<class>`` of
            each class with an IoU; with mFscore in ``iou_metrics`` also
            ``F1.<class>``.
        """
        if self.format_only:
            return super().compute_metrics(results)
        pairs = [r if isinstance(r, tuple) else (r, None) for r in results]
        confusion = sum(counts for counts, _ in pairs)
        hits, labels = confusion.diagonal(), confusion.sum(1)
        predicted = confusion.sum(0)
        areas = (hits, predicted + labels - hits, predicted, labels)
        metrics = super().compute_metrics([areas])
        MessageHub.get_current_instance().update_info(
            CONFUSION, confusion.tolist(), resumed=False
        )
        iou = self.total_area_to_metrics(*areas, ['mIoU'], self.nan_to_num)
        iou = iou['IoU'] * 100
        classes = list(self.dataset_meta['classes'])
        for name, chosen in self.class_sets.items():
            rows = [classes.index(wanted) for wanted in chosen]
            metrics[name] = np.nanmean(iou[rows])
        for domain in sorted({domain for _, domain in pairs if domain}):
            name, absent = domain
            own = class_iou(sum(c for c, other in pairs if other == domain))
            own[list(absent)] = torch.nan
            metrics[f'mIoU.{name}'] = 100 * own.nanmean()
        self._state(classes, iou)
        of_classes = {CLASS: iou}
        if 'mFscore' in self.metrics:
            of_classes['F1.'] = (200 * hits / (predicted + labels)).numpy()
        for prefix, values in of_classes.items():
            for name, value in zip(classes, values, strict=True):
                if not np.isnan(value):
                    metrics[f'{prefix}{name}'] = value
        return {key: round(float(v), 2) for key, v in metrics.items()}

    def _state(self, classes: list[str], iou: np.ndarray) -> None:
        """Log the definition of the metrics once, and changes each time."""
        logger = MMLogger.get_current_instance()
        absent = [n for n, v in zip(classes, iou, strict=True) if np.isnan(v)]
        if absent:
            print_log(
                'In neither labels nor predictions, so excluded from the '
                f'means: {", ".join(absent)}',
                logger,
            )
        if self._is_stated:
            return
        self._is_stated = True
        print_log(f'mIoU: the mean over all {len(classes)} classes', logger)
        for name, chosen in self.class_sets.items():
            print_log(
                f'{name}: the mean over {len(chosen)} of them, without '
                f'{", ".join(sorted({*classes} - {*chosen})) or "none"}; the '
                f'network predicts all {len(classes)}',
                logger,
            )
        print_log(f'Evaluated at {_list_sizes(self._sizes)}', logger)


def _list_sizes(sizes: set[tuple[int, int]], at_most: int = 5) -> str:
    shown = [f'{w}x{h}' for h, w in sorted(sizes)[:at_most]]
    more = f' and {len(sizes) - at_most} more' if len(sizes) > at_most else ''
    return f'{", ".join(shown)}{more} (width x height), the size of the labels'

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.registry import METRICS
from torch import Tensor

from mmseg_cag.errors import UserError

from .confusion import class_iou
from .uda_iou_metric import UDAIoUMetric

# legend: K classes, H W label


@METRICS.register_module()
class OpenSetIoUMetric(UDAIoUMetric):
    """IoU with target classes that the source does not label.

    Pixels of these classes are correct if ``pred_unknown``; for known classes
    that is an error. In addition to the parent's results, which ignore
    ``pred_unknown``:

    - ``known_mIoU``: mean over the classes that both domains have;
    - ``unknown_IoU``: of all target-only classes together;
    - ``H``: the harmonic mean of the two;
    - ``found.<class>``: share of a target-only class that is unknown.

    Files in ``output_dir`` hold each pixel's class, unknown or not.

    Args:
        target_only: Names of classes that the source does not label.
        source_only: Names of classes that the target does not have; they
            count in neither mean.
        **kwargs: Arguments of `UDAIoUMetric`.

    Raises:
        UserError: A class is in both lists.

    Source: H-score of open-set domain adaptation (Fu et al., ECCV 2020), with
    IoU instead of accuracy.
    """

    def __init__(
        self,
        target_only: Sequence[str],
        source_only: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target_only = list(target_only)
        self.source_only = list(source_only)
        if both := sorted({*target_only} & {*source_only}):
            raise UserError(
                f'OpenSetIoUMetric: {both[0]!r} is target_only and '
                'source_only, expected one of the two'
            )

    @UDAIoUMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """Take the data set's classes.

        Raises:
            UserError: A named class is unknown.
        """
        classes = dataset_meta['classes']
        for name in (*self.target_only, *self.source_only):
            if name not in classes:
                raise UserError(
                    f'OpenSetIoUMetric: {name!r} is no class of the data '
                    f'set, which has {", ".join(classes)}'
                )
        UDAIoUMetric.dataset_meta.fset(self, dataset_meta)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch.

        Raises:
            UserError: The predictions have no ``pred_unknown``.
        """
        for sample in data_samples:
            if 'pred_unknown' not in sample:
                raise UserError(
                    'OpenSetIoUMetric: the predictions have no pred_unknown, '
                    'expected model.test_cfg.unknown=True'
                )
            # mmseg passes only the classes to `intersect_and_union`.
            self._unknown = sample['pred_unknown']['data'].squeeze()
            super().process(data_batch, [sample])

    def intersect_and_union(
        self,
        pred_label: Tensor,
        label: Tensor,
        num_classes: int,
        ignore_index: int,
    ) -> Tensor:
        """Count pixels (K, 2 K): ground truth by class and by unknown."""
        counts = label != ignore_index
        found = pred_label + num_classes * self._unknown
        truth, found = label[counts].long(), found[counts].long()
        width = 2 * num_classes
        pairs = torch.bincount(
            width * truth + found, minlength=num_classes * width
        )
        return pairs.view(num_classes, width).cpu()

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics, in percent.

        Args:
            results: Counts (K, 2 K) of each image, for a pool with the
                domain's name.
        """
        if self.format_only:
            return super().compute_metrics(results)
        pairs = [r if isinstance(r, tuple) else (r, None) for r in results]
        counts = sum(own for own, _ in pairs)
        number = len(counts)
        known, unknown = counts[:, :number], counts[:, number:].sum(1)
        metrics = super().compute_metrics(
            [
                (own[:, :number] + own[:, number:], domain)
                for own, domain in pairs
            ]
        )
        classes = list(self.dataset_meta['classes'])
        shared = [
            k
            for k, name in enumerate(classes)
            if name not in (*self.target_only, *self.source_only)
        ]
        private = [classes.index(name) for name in self.target_only]
        # Unknown is an extra class, the label of private classes.
        whole = torch.zeros(number + 1, number + 1, dtype=counts.dtype)
        whole[:number, :number], whole[:number, number] = known, unknown
        whole[number] = whole[private].sum(0)
        whole[private] = 0
        iou = 100 * class_iou(whole)
        mean, own = iou[shared].nanmean(), iou[number]
        metrics |= dict(
            known_mIoU=mean, unknown_IoU=own, H=2 * mean * own / (mean + own)
        )
        for name, k in zip(self.target_only, private, strict=True):
            metrics[f'found.{name}'] = 100 * unknown[k] / counts[k].sum()
        return {key: round(float(v), 2) for key, v in metrics.items()}

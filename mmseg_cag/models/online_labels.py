# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_cag.errors import UserError, require_share
from mmseg_cag.models.data_preprocessor import hide_padding, padding_of

# legend: N images, K classes, H W image


def online_pseudo_labels(
    logits: Tensor,
    threshold: float,
    top: int = 0,
    bottom: int = 0,
    trusted: Tensor | None = None,
    samples: list[SegDataSample] | None = None,
) -> tuple[Tensor, Tensor]:
    """Label all pixels, weighted by the share of confident ones.

    Args:
        logits: Class scores (N, K, H, W) of the teacher, at the size of the
            image.
        threshold: Probability from which a pixel is confident.
        top: Untrusted rows at the top, with weight 0.
        bottom: Untrusted rows at the bottom, likewise.
        trusted: Trusted pixels, bool (N, H, W); None for all.
        samples: Data samples of the images, if these may be padded.

    Returns:
        Labels (N, H, W) int64, and weights (N, H, W) float32. The share is
        over the whole batch without padding, untrusted pixels included.

    Source: DACS Sec. 3.2 and DAFormer Eq. 4, as released; HRDA as released
    (untrusted pixels).
    """
    confidence, labels = logits.float().softmax(1).max(1)
    weight = mean_weight((confidence >= threshold).float(), samples)
    return labels, discard_untrusted(weight, top, bottom, trusted)


def mean_weight(weight: Tensor, samples: list[SegDataSample] | None) -> Tensor:
    """Give all pixels (N, H, W) the mean weight of those without padding."""
    padding = padding_of(samples, weight)
    if padding is None:
        return weight.mean().expand(weight.shape)
    mean = weight.masked_fill(padding, torch.nan).nanmean()
    return mean.expand(weight.shape)


def discard_untrusted(
    weight: Tensor, top: int, bottom: int, trusted: Tensor | None
) -> Tensor:
    """Set weights (N, H, W) of untrusted pixels to 0, in a copy.

    Args:
        weight: Weights of all pixels, float32.
        top: Untrusted rows at the top.
        bottom: Untrusted rows at the bottom.
        trusted: Trusted pixels, bool (N, H, W); None for all.
    """
    weight = weight.clone()
    weight[:, :top] = 0
    weight[:, weight.shape[1] - bottom :] = 0
    return weight if trusted is None else weight.masked_fill_(~trusted, 0)


def require_trusted_rows(cfg: dict, size: tuple[int, int]) -> None:
    """Check that rows of a target crop remain trusted.

    Args:
        cfg: Config of a method with `OnlineLabels`.
        size: Height and width of the crop.

    Raises:
        UserError: No row remains.
    """
    top, bottom = cfg.get('untrusted_top', 0), cfg.get('untrusted_bottom', 0)
    if top + bottom >= size[0]:
        raise UserError(
            f'{_named(top, bottom)}, expected fewer rows than the {size[0]} '
            'of a target crop'
        )


def _named(top: int, bottom: int) -> str:
    return f'model: untrusted_top={top}, untrusted_bottom={bottom}'


class OnlineLabels:
    """Label and weight target crops; untrusted pixels, padding: weight 0.

    Args:
        threshold: Probability from which a pixel is confident.
        top: Untrusted rows at the top of a crop.
        bottom: Untrusted rows at the bottom, such as the car's bonnet.

    Raises:
        UserError: A setting is out of range.
    """

    def __init__(self, threshold: float, top: int, bottom: int) -> None:
        self.threshold, self.top, self.bottom = threshold, top, bottom
        self.rows = dict(untrusted_top=top, untrusted_bottom=bottom)
        require_share('model.threshold', threshold)
        if min(top, bottom) < 0:
            raise UserError(f'{_named(top, bottom)}, expected 0 or more rows')

    def __call__(
        self, logits: Tensor, data_samples: list[SegDataSample]
    ) -> tuple[Tensor, Tensor]:
        """Label pixels from scores; see `online_pseudo_labels`."""
        labels, weight = online_pseudo_labels(
            logits, self.threshold, samples=data_samples
        )
        return labels, self.discard(weight, data_samples)

    def discard(
        self, weight: Tensor, data_samples: list[SegDataSample]
    ) -> Tensor:
        """Set weights of untrusted pixels and padding to 0, in a copy.

        Args:
            weight: Weights of all pixels (N, H, W) float32.
            data_samples: Target samples, with ``trusted`` if `MarkUntrusted`
                marked pixels; of a sample without it all are trusted.

        Raises:
            UserError: No row remains, or `MarkUntrusted` is used as well.
        """
        require_trusted_rows(self.rows, tuple(weight.shape[1:]))
        weight = hide_padding(weight, padding_of(data_samples, weight), 0)
        if not any('trusted' in s for s in data_samples):
            return discard_untrusted(weight, self.top, self.bottom, None)
        if self.top + self.bottom:
            raise UserError(
                f'{_named(self.top, self.bottom)}, but MarkUntrusted also '
                'marks the target images, expected only one'
            )
        whole = torch.ones_like(weight[:1], dtype=torch.uint8)
        marks = [
            s.trusted.data if 'trusted' in s else whole for s in data_samples
        ]
        return discard_untrusted(weight, 0, 0, torch.cat(marks) == 1)

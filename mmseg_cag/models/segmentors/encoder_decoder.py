# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_cag.errors import UserError

# legend: N images, K classes, H W image, h w feature map


@MODELS.register_module()
class SingleResizeEncoderDecoder(EncoderDecoder):
    """A stock segmentor with the inference options of the UDA releases.

    Three switches of ``test_cfg``, all off by default:

    - ``single_resize``: scores are resized directly from the feature map to
      the original image; mmseg resizes twice, via the network's input size.
      Needs ``mode='whole'`` and images without padding.
    - ``softmax_first``: probabilities are resized, not logits (BDL).
    - ``softmax_windows``: overlapping windows average probabilities, not
      logits (VFM-UDA). Needs ``mode='slide'``.

    The probability of a single output is its sigmoid.

    Args:
        **kwargs: Those of mmseg's `EncoderDecoder`.

    Raises:
        UserError: A switch is set with an unsupported mode.

    Source: the evaluation of AdaptSegNet, CLAN, BDL and VFM-UDA as released.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        test_cfg = self.test_cfg or {}
        self.single_resize = test_cfg.get('single_resize', False)
        self.softmax_first = test_cfg.get('softmax_first', False)
        self.softmax_windows = test_cfg.get('softmax_windows', False)
        for name, mode in (
            ('single_resize', 'whole'),
            ('softmax_windows', 'slide'),
        ):
            if getattr(self, name) and test_cfg.get('mode') != mode:
                raise UserError(
                    f'model.test_cfg: {name} with '
                    f'mode={test_cfg.get("mode")!r}, expected mode={mode!r}'
                )

    def encode_decode(
        self, inputs: Tensor, batch_img_metas: list[dict]
    ) -> Tensor:
        """Compute scores, which mmseg resizes to the original size.

        Args:
            inputs: Images (N, 3, H, W).
            batch_img_metas: Metadata of each image.

        Returns:
            Scores (N, K, H, W), or (N, K, h, w) with ``single_resize``.

        Raises:
            UserError: ``single_resize`` and an image is padded.
        """
        scores = self._forward(inputs)
        if self.softmax_first:
            scores = probabilities(scores)
        if not self.single_resize:
            scores = self.decode_head.predict_by_feat(scores, batch_img_metas)
            if self.softmax_windows and not self.softmax_first:
                scores = probabilities(scores)
            return scores
        for meta in batch_img_metas:
            # mmseg's key in testing and in training.
            padding = meta.get('img_padding_size', meta.get('padding_size'))
            if any(padding or ()):
                raise UserError(
                    f'{meta.get("img_path")}: padded by '
                    f'{padding}, but model.test_cfg.'
                    'single_resize needs images without padding'
                )
        return scores

    def postprocess_result(
        self,
        seg_logits: Tensor,
        data_samples: list[SegDataSample] | None = None,
    ) -> list[SegDataSample]:
        """Predict as mmseg does, which would take another sigmoid.

        Args:
            seg_logits: Result of `encode_decode` or of windows (N, K, H, W).
            data_samples: Samples of the images.
        """
        is_sigmoid = self.softmax_first or self.softmax_windows
        if self.out_channels > 1 or not is_sigmoid:
            return super().postprocess_result(seg_logits, data_samples)
        both = torch.cat([1 - seg_logits, seg_logits], dim=1)
        results = super().postprocess_result(both, data_samples)
        for result in results:
            foreground = result.seg_logits.data[1:]
            is_found = foreground > self.decode_head.threshold
            result.seg_logits = PixelData(data=foreground)
            result.pred_sem_seg = PixelData(data=is_found.long())
        return results


def probabilities(scores: Tensor) -> Tensor:
    """Turn class scores (N, K, h, w) into probabilities of the same shape."""
    return scores.softmax(1) if scores.shape[1] > 1 else scores.sigmoid()

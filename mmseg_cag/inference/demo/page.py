# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from mmseg.models.segmentors import EncoderDecoder

from mmseg_cag.errors import UserError

from .show import overlay, predict

if TYPE_CHECKING:
    from gradio import Interface


@dataclass(eq=False)
class Explainer:
    """Callback of the page: the classes of an image and their shares.

    Attributes:
        model: As returned by `load_network`.
    """

    model: EncoderDecoder

    def __call__(
        self, image: np.ndarray, opacity: float
    ) -> tuple[np.ndarray, dict[str, float]]:
        """Predict an image.

        Args:
            image: Image (H, W, 3) uint8, RGB, from Gradio.
            opacity: Opacity of the class colours, 0 to 1.

        Returns:
            The image with its classes overlaid, and the pixel share of each
            class that occurs.
        """
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        labels = predict(self.model, bgr)
        meta = self.model.dataset_meta
        shown = overlay(bgr, labels, meta['palette'], opacity)
        ids, counts = np.unique(labels, return_counts=True)
        shares = {
            meta['classes'][index]: count / labels.size
            for index, count in zip(ids.tolist(), counts.tolist(), strict=True)
        }
        return cv2.cvtColor(shown, cv2.COLOR_BGR2RGB), shares


def build_page(model: EncoderDecoder, opacity: float = 0.5) -> Interface:
    """Build the page; no data leaves the machine.

    Args:
        model: As returned by `load_network`.
        opacity: Initial value of the slider.

    Raises:
        UserError: Gradio is not installed.
    """
    try:
        import gradio
    except ImportError as error:
        raise UserError(
            f'--gradio: {error}; install it by pip install gradio'
        ) from error
    return gradio.Interface(
        Explainer(model),
        [
            gradio.Image(label='image'),
            gradio.Slider(0, 1, opacity, label='opacity'),
        ],
        [gradio.Image(label='classes'), gradio.Label(label='share of pixels')],
        title='Predicted classes',
        api_name='predict',
        flagging_mode='never',
        analytics_enabled=False,
    )

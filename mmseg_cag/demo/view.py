# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import cv2
import numpy as np
from mmseg.apis import inference_model
from mmseg.models.segmentors import EncoderDecoder

from mmseg_cag.experiments.picture import paint

# legend: H W image


class View:
    """What is shown of an image: the predicted classes laid over it.

    Args:
        model: As `load_network` builds it.
        opacity: Share of the classes' colours, 0 to 1.
        side_by_side: Whether the image itself is shown to the left.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        opacity: float = 0.5,
        side_by_side: bool = False,
    ) -> None:
        self.model = model
        self.opacity = opacity
        self.side_by_side = side_by_side

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Show an image.

        Args:
            image: Image (H, W, 3) uint8, BGR.

        Returns:
            Image (H, W, 3) or (H, 2 W, 3) uint8, BGR.
        """
        shown = overlay(
            image,
            predict(self.model, image),
            self.model.dataset_meta['palette'],
            self.opacity,
        )
        return np.hstack([image, shown]) if self.side_by_side else shown


def predict(model: EncoderDecoder, image: np.ndarray) -> np.ndarray:
    """Predict the class map (H, W) of an image (H, W, 3) uint8, BGR."""
    result = inference_model(model, image)
    return result.pred_sem_seg.data.squeeze(0).cpu().numpy()


def overlay(
    image: np.ndarray, labels: np.ndarray, palette: list, opacity: float
) -> np.ndarray:
    """Lay a class map (H, W) over an image (H, W, 3) uint8, BGR."""
    colours = np.ascontiguousarray(paint(labels, palette)[..., ::-1])
    return cv2.addWeighted(colours, opacity, image, 1 - opacity, 0)

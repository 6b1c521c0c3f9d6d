# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""INT8 by onnxruntime's static quantisation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

# legend: H W image


class Images(CalibrationDataReader):
    """Calibration reader that yields images one by one.

    Args:
        images: (1, 3, H, W) float32, 0 to 255.
    """

    def __init__(self, images: Iterator[np.ndarray]) -> None:
        self.images = images

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next image by input name; None at the end."""
        image = next(self.images, None)
        return None if image is None else {'image': image}


def quantise(src: Path, dst: Path, images: Iterator[np.ndarray]) -> None:
    """Quantise the weights and activations of a network to 8 bits.

    Weights are scaled per channel, activations per tensor, by their range on
    the images.

    Args:
        src: An ONNX file from `export_onnx`.
        dst: The output file.
        images: Target images (1, 3, H, W) float32, 0 to 255.
    """
    with TemporaryDirectory() as folder:
        prepared = Path(folder, 'prepared.onnx')
        quant_pre_process(src, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            dst,
            Images(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""INT8 by onnxruntime's own static quantisation."""

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
    """Images one by one, as onnxruntime asks for them.

    Args:
        images: (1, 3, H, W) float32, 0 to 255.
    """

    def __init__(self, images: Iterator[np.ndarray]) -> None:
        self.images = images

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Give the next image by the name of the input; None at the end."""
        image = next(self.images, None)
        return None if image is None else {'image': image}


def quantise(src: Path, dst: Path, images: Iterator[np.ndarray]) -> None:
    """Write a network with weights and activations of 8 bits.

    Weights have a scale for each channel, activations one each, from the
    range that they have on the images.

    Args:
        src: An ONNX file of `export_onnx`.
        dst: The file to write.
        images: Of the target (1, 3, H, W) float32, 0 to 255.
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

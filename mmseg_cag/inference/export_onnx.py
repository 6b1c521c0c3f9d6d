# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.data_preprocessor import converts_bgr_to_rgb

# legend: N images, K classes, H W image

# Largest difference of logits, in shares of their range.
TOLERANCE = 1e-4


class DeploymentModel(nn.Module):
    """A segmentor from the pixels of an image file to class scores.

    What mmseg's preprocessor does is inside: the order of the channels, mean
    and standard deviation.

    Args:
        model: A stock segmentor that predicts whole images.
    """

    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        self.model = model.eval()
        # mmseg's preprocessor takes lists, which no exporter follows.
        self.converts_bgr_to_rgb = converts_bgr_to_rgb(model.data_preprocessor)

    def forward(self, image: Tensor) -> Tensor:
        """Compute class scores.

        Args:
            image: Images (N, 3, H, W) float32, 0 to 255, BGR as OpenCV reads
                them.

        Returns:
            Logits (N, K, H, W).
        """
        preprocessor = self.model.data_preprocessor
        inputs = image.flip(1) if self.converts_bgr_to_rgb else image
        if preprocessor._enable_normalize:
            inputs = (inputs - preprocessor.mean) / preprocessor.std
        head = self.model.decode_head
        return F.interpolate(
            head(self.model.extract_feat(inputs)),
            image.shape[-2:],
            mode='bilinear',
            align_corners=head.align_corners,
        )


def export_onnx(
    model: DeploymentModel,
    path: Path,
    size: tuple[int, int],
    any_size: bool = False,
) -> None:
    """Write a network as ONNX, for any number of images.

    Args:
        model: The network.
        path: The file to write.
        size: Height and width of the images.
        any_size: Whether it takes images of other sizes too.
    """
    free = (0, 2, 3) if any_size else (0,)
    torch.onnx.export(
        model,
        # Two: a batch of one would be taken for a constant.
        (torch.zeros(2, 3, *size),),
        path,
        input_names=['image'],
        output_names=['logits'],
        dynamic_shapes={
            'image': dict.fromkeys(free, torch.export.Dim.DYNAMIC)
        },
        dynamo=True,
        external_data=False,
        verbose=False,
    )


@torch.no_grad()
def compare_onnx(
    model: DeploymentModel, path: Path, image: Tensor
) -> tuple[float, float]:
    """Compare an ONNX file with the network that it was made of.

    Args:
        model: The network.
        path: The file.
        image: Images (N, 3, H, W) float32, 0 to 255.

    Returns:
        The largest absolute difference of the logits, and their range.

    Raises:
        UserError: The difference is more than 1e-4 of the range.
    """
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=['CPUExecutionProvider'])
    [actual] = session.run(['logits'], {'image': image.numpy()})
    expected = model(image)
    difference = (torch.from_numpy(actual) - expected).abs().max().item()
    extent = (expected.max() - expected.min()).item()
    # Not "greater": a NaN is no agreement.
    if not difference <= TOLERANCE * extent:
        raise UserError(
            f'{path}: differs from PyTorch by {difference:.1e} in logits of '
            f'range {extent:.1e}, expected at most {TOLERANCE:.0e} of it'
        )
    return difference, extent

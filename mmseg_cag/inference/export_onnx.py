# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.anchor_bank import AnchorBank
from mmseg_cag.models.anchors.unknown import UnknownPixels
from mmseg_cag.models.data_preprocessor import converts_bgr_to_rgb
from mmseg_cag.models.heads.anchor_head import FAR
from mmseg_cag.models.losses.head_loss import resize_as
from mmseg_cag.models.segmentors.base import class_scores, run_network

# legend: N images, K classes, C feature channels, H W image, h w feature map

# Maximum difference of logits, relative to their range.
TOLERANCE = 1e-4
# Backbone feature maps whose moments the watch compares.
MAPS = 2


class DeploymentModel(nn.Module):
    """A segmentor that maps raw pixels to class scores.

    Includes mmseg's preprocessing: channel order, mean and standard deviation.

    Args:
        model: A stock segmentor that predicts whole images.
    """

    outputs: tuple[str, ...] = ('logits',)

    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        self.model = model.eval()
        # mmseg's preprocessor takes lists, which no exporter supports.
        self.converts_bgr_to_rgb = converts_bgr_to_rgb(model.data_preprocessor)

    def forward(self, image: Tensor) -> Tensor:
        """Compute class scores.

        Args:
            image: Images (N, 3, H, W) float32, 0 to 255, BGR as OpenCV reads
                them.

        Returns:
            Logits (N, K, H, W).
        """
        pyramid = self.model.extract_feat(self.normalise(image))
        scores = class_scores(self.model.decode_head, pyramid)
        return self.at_images(scores, image)

    def normalise(self, image: Tensor) -> Tensor:
        """Normalise images (N, 3, H, W) as mmseg's preprocessor does."""
        preprocessor = self.model.data_preprocessor
        inputs = image.flip(1) if self.converts_bgr_to_rgb else image
        if preprocessor._enable_normalize:
            inputs = (inputs - preprocessor.mean) / preprocessor.std
        return inputs

    def at_images(self, scores: Tensor, image: Tensor) -> Tensor:
        """Resize class scores (N, K, h, w) to the size of the images."""
        return resize_as(self.model.decode_head, scores, image.shape[-2:])


class WatchedModel(DeploymentModel):
    """`DeploymentModel` with extra outputs for the watch.

    Args:
        model: A stock segmentor with a classifier ``conv_seg``.
        bank: Anchors in the space of the classifier's input.
        unknown: Limits of the distances; None omits the unknown output.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        bank: AnchorBank,
        unknown: UnknownPixels | None = None,
    ) -> None:
        super().__init__(model)
        self.outputs = ('logits', 'distances', 'moments')
        if unknown is not None:
            self.outputs += ('unknown',)
        self.unknown = unknown
        self.num_classes = len(bank.anchors)
        # Of each domain, if the bank has several.
        anchors, counts = bank.kept()
        self.register_buffer('anchors', anchors)
        norms = anchors.square().sum(1)
        # Large but finite for a class without anchor: never the nearest.
        norms = norms.masked_fill(counts == 0, FAR**2)
        self.register_buffer('norms', norms)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute class scores, distances and features.

        Args:
            image: Images (N, 3, H, W) float32, as in `DeploymentModel`.

        Returns:
            Logits (N, K, H, W), distances to the anchors (N, K, h, w) and
            moments (N, C) of the backbone's first maps, which reflect the
            style of an image: mean and standard deviation of each channel.
            With limits also (N, h, w): the ratio of a pixel's distance to its
            limit, above 1 where unknown.
        """
        seen = run_network(self.model, self.normalise(image))
        weight = -2 * self.anchors[:, :, None, None]
        # |f|^2 - 2 f a + |a|^2 on the whole map, which exporters support.
        squares = F.conv2d(seen.feat, weight, self.norms)
        squares = squares.unflatten(1, (-1, self.num_classes)).amin(1)
        squares = squares + seen.feat.square().sum(1, keepdim=True)
        distances = squares.relu().sqrt()
        logits = self.at_images(seen.logits[0], image)
        moments = [
            moment
            for own in seen.pyramid[:MAPS]
            for moment in (own.mean((2, 3)), own.std((2, 3), correction=0))
        ]
        outputs = logits, distances, torch.cat(moments, dim=1)
        if self.unknown is None:
            return outputs
        return *outputs, self.unknown.excess(distances)


def export_onnx(
    model: DeploymentModel,
    path: Path,
    size: tuple[int, int],
    any_size: bool = False,
) -> None:
    """Export a network to ONNX with a dynamic batch size.

    Args:
        model: The network.
        path: The output file.
        size: Height and width of the images.
        any_size: Whether to allow other image sizes, too.

    Raises:
        UserError: The network does not take images of this size.
    """
    free = (0, 2, 3) if any_size else (0,)
    # Two: a batch of one would become a constant.
    images = torch.zeros(2, 3, *size)
    with torch.no_grad():
        model(images)  # whose errors the exporter would hide in its own
    torch.onnx.export(
        model,
        (images,),
        path,
        input_names=['image'],
        output_names=list(model.outputs),
        dynamic_shapes={
            'image': dict.fromkeys(free, torch.export.Dim.DYNAMIC)
        },
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def note(path: Path, **metadata: object) -> None:
    """Store metadata in an ONNX file, such as the class names."""
    import onnx

    content = onnx.load(path)
    for key, value in metadata.items():
        content.metadata_props.add(key=key, value=json.dumps(value))
    onnx.save(content, path)


@torch.no_grad()
def compare_onnx(
    model: DeploymentModel, path: Path, image: Tensor
) -> tuple[float, float]:
    """Compare an ONNX file with its PyTorch network.

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
    actual = session.run(list(model.outputs), {'image': image.numpy()})
    expected = model(image)
    if isinstance(expected, Tensor):
        expected = [expected]
    found = []
    for name, own, other in zip(model.outputs, actual, expected, strict=True):
        # Classes without an anchor have no distance to compare.
        is_known = other < FAR
        own, other = torch.from_numpy(own)[is_known], other[is_known]
        difference = (own - other).abs().max().item()
        # Logits are relative to their range, other outputs to their magnitude.
        least = other.min() if name == 'logits' else 0
        extent = (other.max() - least).item()
        # Not ">": NaN must fail, too.
        if not difference <= TOLERANCE * extent:
            raise UserError(
                f'{path}: differs from PyTorch by {difference:.1e} in '
                f'{name} of range {extent:.1e}, expected at most '
                f'{TOLERANCE:.0e} of it'
            )
        found.append((difference, extent))
    return found[0]

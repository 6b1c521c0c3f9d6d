# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""ViT-Adapter on DINOv2, with deformable attention in plain PyTorch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import trunc_normal_init
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.masking import BLOCK, mask_cells

from .dinov2 import DINOv2

# legend: N images, H W image, h w patches, D channels, Q queries, V values,
# M heads, L levels, P points

Shapes = Sequence[tuple[int, int]]


class DeformableAttention(nn.Module):
    """Multi-scale deformable attention: each query samples a few points.

    Computes what the compiled operator does with `grid_sample`. Sampling is
    always in float32.

    Args:
        dim: Channels D.
        heads: Heads M.
        levels: Number of sampled maps L.
        points: Points P per map and head.
        ratio: Channels of the values as a share of D.

    Source: Deformable DETR, Zhu et al., ICLR 2021, Eq. 3; ViT-Adapter, Chen
        et al., ICLR 2023, for the ratio.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        levels: int,
        points: int = 4,
        ratio: float = 0.5,
    ) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        places = heads * levels * points
        inner = int(dim * ratio)
        self.sampling_offsets = nn.Linear(dim, 2 * places)
        self.attention_weights = nn.Linear(dim, places)
        self.value_proj = nn.Linear(dim, inner)
        self.output_proj = nn.Linear(inner, dim)

    def init_weights(self) -> None:
        """Start head m in its own direction, with point p at p + 1 steps."""
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        ways = torch.stack([angles.cos(), angles.sin()], dim=-1)
        ways = ways / ways.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.points + 1)[:, None]
        offsets = (ways[:, None, None] * steps).expand(-1, self.levels, -1, -1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.flatten())

    def forward(
        self, query: Tensor, reference: Tensor, value: Tensor, shapes: Shapes
    ) -> Tensor:
        """Compute (N, Q, D).

        Args:
            query: Queries (N, Q, D).
            reference: Position of each query (1, Q, 1, 2), x and y in 0..1.
            value: The maps (N, V, D), concatenated, row by row.
            shapes: Height and width of each.
        """
        parts = (self.heads, self.levels, self.points)
        offsets = self.sampling_offsets(query).unflatten(2, (*parts, 2))
        weights = self.attention_weights(query).unflatten(2, (parts[0], -1))
        values = self.value_proj(value).unflatten(2, (self.heads, -1))
        with torch.autocast(query.device.type, enabled=False):
            out = sample(
                values.float(),
                offsets.float(),
                weights.float().softmax(-1),
                reference.float(),
                shapes,
            )
        return self.output_proj(out.to(query.dtype))


def sample(
    values: Tensor,
    offsets: Tensor,
    weights: Tensor,
    reference: Tensor,
    shapes: Shapes,
) -> Tensor:
    """Sum the weighted values at the sampled points, zero outside a map.

    Args:
        values: Values (N, V, M, C).
        offsets: Offsets (N, Q, M, L, P, 2), in pixels of the level.
        weights: Weights (N, Q, M, L P).
        reference: Positions (1, Q, 1, 2) in 0..1.
        shapes: Height and width of each level.

    Returns:
        (N, Q, M C).
    """
    n, q, heads, _, points, _ = offsets.shape
    centres = reference[:, :, :, None]  # (1, Q, 1, 1, 2)
    weights = weights.transpose(1, 2).flatten(0, 1)[:, None]
    total = 0
    start = 0
    for level, (h, w) in enumerate(shapes):
        own = values[:, start : start + h * w]
        start += h * w
        maps = own.permute(0, 2, 3, 1).reshape(n * heads, -1, h, w)
        x, y = offsets[:, :, :, level].unbind(-1)
        # Numbers, not a tensor: to copy one to a GPU waits for it.
        places = centres + torch.stack([x / w, y / h], dim=-1)
        places = (2 * places - 1).transpose(1, 2).flatten(0, 1)
        seen = F.grid_sample(maps, places, align_corners=False)
        share = weights[..., level * points : (level + 1) * points]
        total = total + (seen * share).sum(-1)  # (N M, C, Q)
    return total.view(n, -1, q).mT


class Where(NamedTuple):
    """Positions for the attention between patches and pyramid.

    Attributes:
        grid: h and w of the patches.
        levels: Height and width of the pyramid's maps.
        of_grid: Centres of the patches (1, h w, 1, 2).
        of_levels: Centres of the maps' cells, likewise.
    """

    grid: tuple[int, int]
    levels: list[tuple[int, int]]
    of_grid: Tensor
    of_levels: Tensor


class Injector(nn.Module):
    """Cross-attention from patches to the pyramid."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(dim)
        self.feat_norm = nn.LayerNorm(dim)
        self.attn = DeformableAttention(dim, heads, levels=3)
        self.gamma = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, c: Tensor, where: Where) -> Tensor:
        """Update patches (N, h w, D) from the pyramid's cells."""
        query, value = self.query_norm(x), self.feat_norm(c)
        seen = self.attn(query, where.of_grid, value, where.levels)
        return x + self.gamma * seen


class DepthwiseConv(nn.Module):
    """A depth-wise 3x3 convolution, applied to each map of a pyramid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(
            channels, channels, 3, padding=1, groups=channels
        )

    def forward(self, x: Tensor, shapes: Shapes) -> Tensor:
        """Convolve cells (N, V, C)."""
        maps = x.mT.split([h * w for h, w in shapes], dim=2)
        done = [
            self.dwconv(own.unflatten(2, shape)).flatten(2)
            for own, shape in zip(maps, shapes, strict=True)
        ]
        return torch.cat(done, dim=2).mT


class ConvFFN(nn.Module):
    """Two linear layers with a convolution and a GELU between."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor, shapes: Shapes) -> Tensor:
        """Transform cells (N, V, D)."""
        return self.fc2(F.gelu(self.dwconv(self.fc1(x), shapes)))


class Extractor(nn.Module):
    """Cross-attention from the pyramid to patches."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(dim)
        self.feat_norm = nn.LayerNorm(dim)
        self.attn = DeformableAttention(dim, heads, levels=1)
        self.ffn = ConvFFN(dim, dim // 4)
        self.ffn_norm = nn.LayerNorm(dim)

    def forward(self, c: Tensor, x: Tensor, where: Where) -> Tensor:
        """Update the pyramid's cells (N, V, D) from the patches."""
        query, value = self.query_norm(c), self.feat_norm(x)
        c = c + self.attn(query, where.of_levels, value, [where.grid])
        return c + self.ffn(self.ffn_norm(c), where.levels)


class Interaction(nn.Module):
    """Injector and extractors around a quarter of the blocks."""

    def __init__(self, dim: int, heads: int, extra: bool) -> None:
        super().__init__()
        self.injector = Injector(dim, heads)
        self.extractor = Extractor(dim, heads)
        if extra:
            self.extra_extractors = nn.ModuleList(
                Extractor(dim, heads) for _ in range(2)
            )

    def extract(self, c: Tensor, x: Tensor, where: Where) -> Tensor:
        """Run the extractors in sequence."""
        for extractor in (
            self.extractor,
            *getattr(self, 'extra_extractors', ()),
        ):
            c = extractor(c, x, where)
        return c


class SpatialPrior(nn.Module):
    """Convolutional stem with maps at strides 4, 8, 16 and 32."""

    def __init__(self, dim: int, channels: int, norm_cfg: dict) -> None:
        super().__init__()

        def layer(before: int, after: int, stride: int = 2) -> list:
            return [
                nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
                build_norm_layer(norm_cfg, after)[1],
                nn.ReLU(),
            ]

        c = channels
        self.stem = nn.Sequential(
            *layer(3, c),
            *layer(c, c, 1),
            *layer(c, c, 1),
            nn.MaxPool2d(3, 2, padding=1),
        )
        self.conv2 = nn.Sequential(*layer(c, 2 * c))
        self.conv3 = nn.Sequential(*layer(2 * c, 4 * c))
        self.conv4 = nn.Sequential(*layer(4 * c, 4 * c))
        for index, width in enumerate((c, 2 * c, 4 * c, 4 * c), start=1):
            self.add_module(f'fc{index}', nn.Conv2d(width, dim, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute four maps (N, D, ., .) of images (N, 3, H, W)."""
        c1 = self.stem(images)
        c2 = self.conv2(c1)
        c3 = self.conv3(c2)
        c4 = self.conv4(c3)
        return [self.fc1(c1), self.fc2(c2), self.fc3(c3), self.fc4(c4)]


@MODELS.register_module()
class ViTAdapter(DINOv2):
    """DINOv2 with a parallel pyramid at strides 4, 8, 16 and 32.

    Before each quarter of the blocks the patches attend to the pyramid, after
    it the pyramid to the patches. Returns four maps (N, D, ., .). Sides are
    multiples of 224, which fits patches and strides: 1024 becomes 1120 with
    ``resize=1.1``. Initially the adapter does not change the ViT. The official
    file has the ViT only, and ``frozen_stages`` refers to it.

    Args:
        prior_channels: Channels of the first convolutions.
        norm_cfg: Batch norm; `SyncBN` for several GPUs.
        **kwargs: Arguments of `DINOv2`, except ``out_indices``.

    Raises:
        UserError: The number of blocks is not a multiple of 4.

    Source: ViT-Adapter, Chen et al., ICLR 2023; VFM-UDA++, Englert et al.,
        2025, as released.
    """

    added = (
        'spm',
        'interactions',
        'level_embed',
        'up',
        *(f'norm{index}' for index in range(1, 5)),
    )
    dropped = ('norm', 'mask_token')

    def __init__(
        self,
        prior_channels: int = 64,
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(final_norm=False, **kwargs)
        dim, depth, heads = self.arch[:3]
        if depth % 4:
            raise UserError(
                f'ViTAdapter: arch of {depth} blocks, expected a multiple of 4'
            )
        norm_cfg = norm_cfg or dict(type='BN', momentum=0.01)
        # These are unused and would get no gradient.
        del self.norm, self.mask_token
        self.spm = SpatialPrior(dim, prior_channels, norm_cfg)
        self.level_embed = nn.Parameter(torch.zeros(3, dim))
        self.interactions = nn.ModuleList(
            Interaction(dim, heads, extra=index == 3) for index in range(4)
        )
        self.up = nn.ConvTranspose2d(dim, dim, 2, stride=2)
        for index in range(1, 5):
            norm = build_norm_layer(norm_cfg, dim)[1]
            self.add_module(f'norm{index}', norm)

    @property
    def multiple(self) -> int:
        """Divisor of the image sides, in pixels."""
        return math.lcm(self.patch, 32)

    def mask_shape(self, size: Sequence[int]) -> tuple[int, ...]:
        """Shape of the mask of one image (g, g): blocks of 64 pixels."""
        return mask_cells(self._fitted(size), BLOCK)

    def init_weights(self) -> None:
        """Initialise the ViT and the adapter."""
        super().init_weights()
        nn.init.normal_(self.level_embed)
        for part in (self.spm, self.interactions, self.up):
            for module in part.modules():
                if isinstance(module, nn.Linear):
                    trunc_normal_init(module, std=0.02)
                elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                    area = math.prod(module.kernel_size)
                    fan_out = area * module.out_channels / module.groups
                    nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        for module in self.interactions.modules():
            if isinstance(module, DeformableAttention):
                module.init_weights()

    def forward(
        self, images: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Compute maps at strides 4, 8, 16 and 32 of the resized images.

        Args:
            images: Images (N, 3, H, W), normalised.
            mask: Blocks (N, g, g) bool of an image to blank out.
        """
        images = self.fit(images)
        if mask is not None:
            kept = (~mask)[:, None].to(images)
            images = images * F.interpolate(kept, images.shape[-2:])
        c1, *levels = self.spm(images)
        shapes = [tuple(level.shape[-2:]) for level in levels]
        c = torch.cat(
            [
                level.flatten(2).mT + row
                for level, row in zip(levels, self.level_embed, strict=True)
            ],
            dim=1,
        )
        x, grid = self.tokens(images)
        first, x = x.tensor_split([1 + self.registers], dim=1)
        like = images.device
        where = Where(
            grid,
            shapes,
            cell_centres([grid], like),
            cell_centres(shapes, like),
        )
        maps = []
        blocks = len(self.blocks) // 4
        for index, interaction in enumerate(self.interactions):
            x = interaction.injector(x, c, where)
            tokens = torch.cat([first, x], dim=1)
            for block in self.blocks[index * blocks : (index + 1) * blocks]:
                tokens = self.run(block, tokens, None)
            first, x = tokens.tensor_split([1 + self.registers], dim=1)
            c = interaction.extract(c, x, where)
            maps.append(x.mT.unflatten(2, grid))
        return self.join(c1, c, shapes, maps)

    def join(
        self, c1: Tensor, c: Tensor, shapes: Shapes, maps: list[Tensor]
    ) -> tuple[Tensor, ...]:
        """Add the ViT's maps to the pyramid's and normalise the sums."""
        cells = c.mT.split([h * w for h, w in shapes], dim=2)
        c2, c3, c4 = (
            own.unflatten(2, shape)
            for own, shape in zip(cells, shapes, strict=True)
        )
        pyramid = (self.up(c2) + c1, c2, c3, c4)
        norms = self.norm1, self.norm2, self.norm3, self.norm4
        return tuple(
            norm(level + F.interpolate(own, level.shape[-2:], mode='bilinear'))
            for norm, level, own in zip(norms, pyramid, maps, strict=True)
        )


def cell_centres(shapes: Shapes, device: Any) -> Tensor:
    """Compute cell centres (1, V, 1, 2) of maps, x and y in 0..1."""
    centres = []
    for h, w in shapes:
        y = (torch.arange(h, device=device) + 0.5) / h
        x = (torch.arange(w, device=device) + 0.5) / w
        centres.append(torch.cartesian_prod(y, x).flip(1))
    return torch.cat(centres)[None, :, None]

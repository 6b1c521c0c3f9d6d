# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""DINOv2 and DINOv3 encoders with the keys of the official weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_load import (
    is_state_dict,
    require_same_tensors,
    safe_load,
)

from .lora import insert_lora, is_lora

# legend: N images, H W image, h w patches, T tokens, D channels, M heads


class Arch(NamedTuple):
    """Size of an encoder and whether its MLP is gated."""

    dim: int
    depth: int
    heads: int
    gated: bool = False


class Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens (N, T, D)."""
        return self.fc2(F.gelu(self.fc1(x)))


class GatedMlp(nn.Module):
    """DINOv2 giant's MLP: gate and value in one layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = (int(4 * dim * 2 / 3) + 7) // 8 * 8
        self.w12 = nn.Linear(dim, 2 * hidden)
        self.w3 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens (N, T, D)."""
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value)


class TwoGatedMlp(nn.Module):
    """DINOv3's gated MLP: gate and value in separate layers."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(dim, 4 * dim)
        self.w2 = nn.Linear(dim, 4 * dim)
        self.w3 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform tokens (N, T, D)."""
        return self.w3(F.silu(self.w1(x)) * self.w2(x))


class MaskedBiasLinear(nn.Linear):
    """A linear layer with a partly masked bias."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.register_buffer('bias_mask', torch.ones(out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return F.linear(x, self.weight, self.bias * self.bias_mask)


class Attention(nn.Module):
    """Self-attention that never stores the T x T weights."""

    def __init__(self, dim: int, heads: int, linear: type[nn.Linear]) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, turn: Callable | None = None) -> Tensor:
        """Transform tokens (N, T, D).

        Args:
            x: The tokens.
            turn: Rotates queries and keys (N, M, T, D / M) by position.
        """
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        if turn is not None:
            q, k = turn(q), turn(k)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).flatten(2))


class LayerScale(nn.Module):
    """A learned factor for each channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        """Scale (N, T, D)."""
        return x * self.gamma


class Block(nn.Module):
    """Attention and MLP, each with pre-norm and a residual connection."""

    def __init__(
        self,
        arch: Arch,
        eps: float,
        mlp: type[nn.Module],
        linear: type[nn.Linear],
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(arch.dim, eps)
        self.attn = Attention(arch.dim, arch.heads, linear)
        self.ls1 = LayerScale(arch.dim)
        self.norm2 = nn.LayerNorm(arch.dim, eps)
        self.mlp = mlp(arch.dim)
        self.ls2 = LayerScale(arch.dim)

    def forward(self, x: Tensor, turn: Callable | None = None) -> Tensor:
        """Transform tokens (N, T, D)."""
        x = x + self.ls1(self.attn(self.norm1(x), turn))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Patch embedding by a non-overlapping convolution."""

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to patches (N, D, h, w)."""
        return self.proj(images)


class DINOEncoder(BaseModule):
    """Base class of DINOv2 and DINOv3.

    All maps have the stride of a patch; `Feature2Pyramid` makes a pyramid for
    heads that need one. Images are RGB, normalised by ImageNet's mean and
    standard deviation. ``init_cfg=dict(type='Pretrained', checkpoint=FILE)``
    loads an official file, strictly.

    Args:
        arch: A name, one of the keys of ``archs``, or a dict of ``dim``,
            ``depth``, ``heads`` and ``gated``.
        out_indices: Blocks whose maps (N, D, h, w) are returned, from 0; -1 is
            the last. Later blocks are not run.
        final_norm: Whether each returned map goes through the final norm.
        output_cls_token: Whether each output is a pair of map and class token
            (N, D), as `DPTHead` expects.
        resize: Bilinear resize of the images: a factor, after which sides are
            rounded down to whole patches, or (height, width). None requires
            sides that are multiples of the patch size.
        frozen_stages: Number of first blocks frozen, with the embeddings; -1
            freezes nothing, ``all`` everything.
        masked: Whether forward passes use a ``mask``, so that the mask token
            is trained.
        with_cp: Whether to checkpoint activations of blocks, to save memory.
        lora: Settings of `insert_lora`; only low-rank updates of the encoder
            are then trained.
        init_cfg: See `BaseModule`.

    Raises:
        UserError: A setting is unknown, or a block does not exist.
    """

    archs: dict[str, Arch]
    patch: int
    eps: float
    name: str
    licence: str
    gated_mlp: type[nn.Module]
    linear: type[nn.Linear] = nn.Linear
    # A key that only official files of this kind have.
    mark: str
    # Keys that no official file has, and keys of it that are not used here.
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def __init__(
        self,
        arch: str | dict = 'base',
        out_indices: Sequence[int] = (-1,),
        final_norm: bool = True,
        output_cls_token: bool = False,
        resize: float | tuple[int, int] | None = None,
        frozen_stages: int | str = -1,
        masked: bool = False,
        with_cp: bool = False,
        lora: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        kind = type(self).__name__
        if isinstance(arch, str) and arch not in self.archs:
            raise UserError(
                f'{kind}: arch={arch!r}, expected one of {list(self.archs)}'
            )
        arch = self.archs[arch] if isinstance(arch, str) else Arch(**arch)
        depth = arch.depth
        for index in out_indices:
            if not -depth <= index < depth:
                raise UserError(
                    f'{kind}: out_indices has {index}, but there are blocks 0 '
                    f'to {depth - 1}'
                )
        if frozen_stages != 'all' and frozen_stages not in range(
            -1, depth + 1
        ):
            raise UserError(
                f'{kind}: frozen_stages={frozen_stages!r}, expected -1 to '
                f"{depth} or 'all'"
            )
        self.arch = arch
        self.out_indices = tuple(index % depth for index in out_indices)
        self.final_norm = final_norm
        self.output_cls_token = output_cls_token
        self.resize = resize
        self.frozen_stages = frozen_stages
        self.with_cp = with_cp
        self.lora = lora
        self.cls_token = nn.Parameter(torch.zeros(1, 1, arch.dim))
        self.mask_token = nn.Parameter(torch.zeros(1, arch.dim))
        self.patch_embed = PatchEmbed(arch.dim, self.patch)
        mlp = self.gated_mlp if arch.gated else Mlp
        self.blocks = nn.ModuleList(
            Block(arch, self.eps, mlp, self.linear) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(arch.dim, self.eps)
        # Parameters without a gradient would make distributed training wait.
        self.mask_token.requires_grad_(masked)
        self.norm.requires_grad_(final_norm)
        self.blocks[max(self.out_indices) + 1 :].requires_grad_(False)

    @property
    def multiple(self) -> int:
        """Divisor of the image sides, in pixels."""
        return self.patch

    def _freeze(self) -> None:
        """Exclude frozen parameters from the optimizer."""
        if self.frozen_stages == 'all':
            self.requires_grad_(False)
        elif self.frozen_stages >= 0:
            for name, parameter in self.named_parameters():
                part = name.split('.')[0]
                if part not in ('blocks', 'norm'):
                    parameter.requires_grad_(False)
            self.blocks[: self.frozen_stages].requires_grad_(False)
        if self.lora:
            insert_lora(self, **self.lora)

    def init_weights(self) -> None:
        """Load the official weights, or initialise as DINOv2 does."""
        if (self.init_cfg or {}).get('type') == 'Pretrained':
            self.load_official(self.init_cfg['checkpoint'])
        else:
            for name, parameter in self.named_parameters():
                if is_lora(name):
                    continue
                if name.endswith('.bias') or name == 'mask_token':
                    nn.init.zeros_(parameter)
                elif 'norm' not in name and 'gamma' not in name:
                    std = 1e-6 if 'tokens' in name or 'cls' in name else 0.02
                    nn.init.trunc_normal_(parameter, std=std)
        self._is_init = True

    def load_official(self, path: str) -> None:
        """Load an official weight file, strictly.

        Raises:
            MissingFileError: There is no such file.
            UserError: The file is of another encoder or size.
        """
        state = safe_load(path)
        if not is_state_dict(state):
            raise UserError(
                f'{path}: expected an official file of {self.name}, tensors '
                'by name'
            )
        own = {
            key: value
            for key, value in self.state_dict().items()
            if key.split('.')[0] not in self.added and not is_lora(key)
        }
        state = {
            key: value
            for key, value in self._adopt(state).items()
            if key.split('.')[0] not in self.dropped
        }
        self._check(path, state, own)
        self.load_state_dict(state, strict=False)
        print_log(f'{path}: {self.name} loaded; {self.licence}', 'current')

    def _adopt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Convert a file's content for `load_state_dict`."""
        return state

    def _check(self, path: str, state: dict, own: dict) -> None:
        where = f'{path}: does not fit this model.backbone'
        for kind in (DINOv2, DINOv3):
            if kind.mark in state and not isinstance(self, kind):
                raise UserError(
                    f'{where}, {self.name}: the file is of {kind.name}, '
                    f'expected type={kind.__name__!r}'
                )
        if self.mark not in state:
            raise UserError(
                f'{where}: the file has no {self.mark}, expected an official '
                f'file of {self.name}'
            )
        depth = sum(key.endswith('ls1.gamma') for key in state)
        dim = state['cls_token'].shape[-1] if 'cls_token' in state else 0
        if (dim, depth) != self.arch[:2]:
            names = [n for n, a in self.archs.items() if a[:2] == (dim, depth)]
            raise UserError(
                f'{where}: the file has {depth} blocks of {dim} channels '
                f'({names[0] if names else "unknown size"}), expected '
                f'{self.arch.depth} blocks of {self.arch.dim} channels'
            )
        self._check_tokens(where, state)
        require_same_tensors(own, state, f'{where}:')

    def _check_tokens(self, where: str, state: dict) -> None:
        """Check the register tokens of a file."""

    def forward(
        self, images: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, ...] | tuple[list[Tensor], ...]:
        """Compute the map (N, D, h, w) of each selected block.

        Args:
            images: Images (N, 3, H, W), normalised.
            mask: Patches (N, h w) bool that the mask token replaces.

        Raises:
            UserError: Sides are not multiples of the patch size and ``resize``
                is not set.
        """
        x, grid = self.tokens(self.fit(images), mask)
        turn = self.rotation(grid, x.device)
        maps = {}
        for index, block in enumerate(self.blocks):
            if len(maps) == len(set(self.out_indices)):
                break
            x = self.run(block, x, turn)
            if index in self.out_indices:
                maps[index] = self.as_map(x, grid)
        return tuple(maps[index] for index in self.out_indices)

    def tokens(
        self, images: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, tuple[int, int]]:
        """Compute the input of the first block (N, T, D), and h and w."""
        patches = self.patch_embed(images)
        x = patches.flatten(2).mT
        if mask is not None:
            x = torch.where(mask[..., None], self.mask_token.to(x), x)
        grid = tuple(patches.shape[-2:])
        return self.embed(x, grid), grid

    def run(self, block: Block, x: Tensor, turn: Callable | None) -> Tensor:
        """Run a block on tokens (N, T, D)."""
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(block, x, turn, use_reentrant=False)
        return block(x, turn)

    def fit(self, images: Tensor) -> Tensor:
        """Resize images (N, 3, H, W) to a multiple of the patch size."""
        name = type(self).__name__
        return fit_images(images, self.multiple, self.resize, name)

    def mask_shape(self, size: Sequence[int]) -> tuple[int, ...]:
        """Shape of the mask of one image (h w,), by the image's size."""
        h, w = self._fitted(size)
        return (h // self.patch * (w // self.patch),)

    def _fitted(self, size: Sequence[int]) -> tuple[int, int]:
        name = type(self).__name__
        return fitted_size(tuple(size), self.multiple, self.resize, name)

    def as_map(self, x: Tensor, grid: Sequence[int]) -> Any:
        """Turn tokens (N, T, D) into a map (N, D, h, w)."""
        if self.final_norm:
            x = self.norm(x)
        patches = x[:, -grid[0] * grid[1] :].mT.unflatten(2, tuple(grid))
        if self.output_cls_token:
            return [patches.contiguous(), x[:, 0]]
        return patches.contiguous()

    def embed(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        """Prepend class token and registers to patches (N, h w, D)."""
        raise NotImplementedError

    def rotation(self, grid: Sequence[int], device: Any) -> Callable | None:
        """Build the function that rotates queries and keys by position."""
        return None


def fit_images(
    images: Tensor,
    multiple: int,
    resize: float | Sequence[int] | None,
    name: str,
) -> Tensor:
    """Resize images to a size that an encoder accepts.

    Args:
        images: Images (N, 3, H, W).
        multiple: Divisor of the sides, in pixels.
        resize: A factor, after which sides are rounded down; (height, width);
            None for no resizing.
        name: The encoder's name.

    Raises:
        UserError: No resizing is set, and the sides are no multiples.
    """
    size = tuple(images.shape[-2:])
    fitted = fitted_size(size, multiple, resize, name)
    if fitted == size:
        return images
    return F.interpolate(images, fitted, mode='bilinear')


def fitted_size(
    size: tuple[int, int],
    multiple: int,
    resize: float | Sequence[int] | None,
    name: str,
) -> tuple[int, int]:
    """Compute the height and width that `fit_images` produces."""
    if resize is None:
        if any(side % multiple for side in size):
            raise UserError(
                f'{name}: images of {size[0]}x{size[1]} pixels, expected '
                f'multiples of {multiple}, or model.backbone.resize=1.0'
            )
        return size
    if isinstance(resize, int | float):
        resize = [
            max(int(resize * side / multiple), 1) * multiple for side in size
        ]
    return tuple(resize)


@MODELS.register_module()
class DINOv2(DINOEncoder):
    """DINOv2's vision transformer, patches of 14 pixels.

    Position embeddings are interpolated by the official rule: without
    registers bicubic by a scale factor with an offset of 0.1, with registers
    to the size with antialiasing. Other libraries differ.

    Args:
        registers: Register tokens, 0 or 4 (``_reg4``).
        pretrain_size: Image side of the position embedding, in pixels.
        **kwargs: Arguments of `DINOEncoder`.

    Source: DINOv2, Oquab et al., TMLR 2024; Vision Transformers Need
        Registers, Darcet et al., ICLR 2024; their release.
    """

    archs = {
        'small': Arch(384, 12, 6),
        'base': Arch(768, 12, 12),
        'large': Arch(1024, 24, 16),
        'giant': Arch(1536, 40, 24, gated=True),
    }
    patch, eps = 14, 1e-6
    name, licence = 'DINOv2', 'Apache-2.0, code and weights'
    gated_mlp = GatedMlp
    mark = 'pos_embed'

    def __init__(
        self, registers: int = 0, pretrain_size: int = 518, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.registers = registers
        self.side = pretrain_size // self.patch
        dim = self.arch.dim
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.side**2, dim))
        if registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, registers, dim))
        self._freeze()

    def _check_tokens(self, where: str, state: dict) -> None:
        tokens = state.get('register_tokens')
        found = 0 if tokens is None else tokens.shape[1]
        if found != self.registers:
            raise UserError(
                f'{where}: the file has {found} registers, expected '
                f'registers={self.registers}'
            )

    def embed(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        """Add positions; prepend class token and registers."""
        n = len(x)
        x = torch.cat([self.cls_token.expand(n, -1, -1).to(x), x], dim=1)
        x = x + self.positions(*grid)
        if not self.registers:
            return x
        registers = self.register_tokens.expand(n, -1, -1)
        return torch.cat([x[:, :1], registers.to(x), x[:, 1:]], dim=1)

    def positions(self, h: int, w: int) -> Tensor:
        """Interpolate the position embedding (1, 1 + h w, D), float32."""
        table, side = self.pos_embed.float(), self.side
        if h == w == side:
            return table
        grid = table[:, 1:].mT.unflatten(2, (side, side))
        if self.registers:
            rule = dict(size=(h, w), antialias=True)
        else:
            factors = (h + 0.1) / side, (w + 0.1) / side
            # Torch computes coordinates from these factors, not from the
            # sizes.
            rule = dict(scale_factor=factors)
        grid = F.interpolate(grid, mode='bicubic', **rule)
        return torch.cat([table[:, :1], grid.flatten(2).mT], dim=1)


@MODELS.register_module()
class DINOv3(DINOEncoder):
    """DINOv3's vision transformer, patches of 16 pixels.

    Queries and keys of patches are rotated by position; nothing is
    interpolated. **The weights are under Meta's DINOv3 License**, which is not
    open source: Meta provides them after you accept its terms there.

    Args:
        accept_terms: Whether you accept these terms; required to load a file.
        stored_periods: Whether the rotation uses the file's periods, rounded
            to bfloat16, instead of computed ones.
        **kwargs: Arguments of `DINOEncoder`.

    Source: DINOv3, Simeoni et al., 2025; the file format as other
        Apache-2.0 libraries read it.
    """

    archs = {
        'small': Arch(384, 12, 6),
        'small_plus': Arch(384, 12, 6, gated=True),
        'base': Arch(768, 12, 12),
        'large': Arch(1024, 24, 16),
        'huge_plus': Arch(1280, 32, 20, gated=True),
    }
    patch, eps = 16, 1e-5
    name = 'DINOv3'
    licence = (
        'DINOv3 License of Meta: no open-source licence, passed on only under '
        'the same terms, no military use, to be acknowledged in publications'
    )
    gated_mlp, linear = TwoGatedMlp, MaskedBiasLinear
    mark = 'rope_embed.periods'
    registers = 4

    def __init__(
        self,
        accept_terms: bool = False,
        stored_periods: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.accept_terms = accept_terms
        self.stored_periods = stored_periods
        dim, heads = self.arch.dim, self.arch.heads
        self.storage_tokens = nn.Parameter(torch.zeros(1, self.registers, dim))
        for block in self.blocks:
            # The keys' bias is masked.
            block.attn.qkv.bias_mask[dim : 2 * dim] = 0
        quarter = dim // heads // 4
        periods = 100 ** (torch.arange(quarter) / quarter)
        self.rope_embed = nn.Module()
        self.rope_embed.register_buffer('periods', periods)
        self._freeze()

    def load_official(self, path: str) -> None:
        """Load an official file if the terms are accepted."""
        if not self.accept_terms:
            raise UserError(
                f'{path}: {self.licence}; set model.backbone.accept_terms='
                'True if you accept it'
            )
        super().load_official(path)

    def _adopt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.stored_periods:
            return state
        return {**state, self.mark: self.rope_embed.periods}

    def embed(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        """Prepend class token and registers."""
        first = torch.cat([self.cls_token, self.storage_tokens], dim=1)
        return torch.cat([first.expand(len(x), -1, -1).to(x), x], dim=1)

    def rotation(self, grid: Sequence[int], device: Any) -> Callable:
        """Build the float32 rotation of the patches' queries and keys."""
        sin, cos = self.sin_cos(grid)

        def turn(x: Tensor) -> Tensor:
            first, patches = x.tensor_split([x.shape[2] - len(sin)], dim=2)
            patches = patches.float()
            a, b = patches.chunk(2, dim=-1)
            patches = patches * cos + torch.cat([-b, a], dim=-1) * sin
            return torch.cat([first, patches.to(x)], dim=2)

        return turn

    def sin_cos(self, grid: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Compute sine and cosine (h w, D / M) of the patches' angles."""
        periods = self.rope_embed.periods.float()
        rows, columns = (
            2 * (torch.arange(n, device=periods.device) + 0.5) / n - 1
            for n in grid
        )
        places = torch.cartesian_prod(rows, columns)
        angles = 2 * torch.pi * places[:, :, None] / periods
        angles = angles.flatten(1).tile(2)
        return angles.sin(), angles.cos()

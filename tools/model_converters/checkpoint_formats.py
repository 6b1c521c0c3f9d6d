# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Rename the weights of published checkpoints to this project's names.

A format is a list of parts. Each part maps one module of the published network
to its name here. The list is complete: any other or missing key is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_load import is_state_dict, safe_load

WEIGHT = ('weight',)
AFFINE = ('weight', 'bias')
NORM = (*AFFINE, 'running_mean', 'running_var', 'num_batches_tracked')
RESNET101_DEPTHS = (3, 4, 23, 3)
MIT_B5_DEPTHS = (3, 6, 40, 3)
DLV2_BRANCHES = 4
# Modules in runs of DAFormer and its successors: the student, and others.
STUDENT = 'model.'
OTHER_NETWORKS = ('ema_model.', 'imnet_model.', 'mic.')


Weights = dict[str, Tensor]


class Part(NamedTuple):
    """A module: its published name, its name here, its tensors."""

    source: str
    target: str | None
    tensors: tuple[str, ...]


class Format(NamedTuple):
    """Location and names of the weights in a checkpoint.

    ``optional`` parts are imported if present, ``dropped`` prefixes ignored.
    ``finish`` merges tensors that mmseg keeps in one.
    """

    path: tuple[str, ...]
    parts: list[Part]
    optional: list[Part] = []
    dropped: tuple[str, ...] = ()
    finish: Callable[[Weights], Weights] = dict


def resnet101(prefix: str = '', deep_stem: bool = False) -> list[Part]:
    """List the backbone; names differ only in their prefix."""
    modules = [('conv1', WEIGHT), ('bn1', NORM)]
    if deep_stem:
        stem = enumerate((WEIGHT, NORM) * 3)
        modules = [(f'stem.{i + i // 2}', tensors) for i, tensors in stem]
    for layer, depth in enumerate(RESNET101_DEPTHS, start=1):
        for block in range(depth):
            name = f'layer{layer}.{block}'
            for index in (1, 2, 3):
                modules.append((f'{name}.conv{index}', WEIGHT))
                modules.append((f'{name}.bn{index}', NORM))
            if block == 0:
                modules.append((f'{name}.downsample.0', WEIGHT))
                modules.append((f'{name}.downsample.1', NORM))
    return [
        Part(f'{prefix}{name}', f'backbone.{name}', tensors)
        for name, tensors in modules
    ]


def dlv2(source: str, target: str, active: int = DLV2_BRANCHES) -> list[Part]:
    """List a DeepLab-V2 head; inactive branches have no target."""
    return [
        Part(
            f'{source}.conv2d_list.{index}',
            f'{target}.branches.{index}' if index < active else None,
            AFFINE,
        )
        for index in range(DLV2_BRANCHES)
    ]


def proda_head() -> list[Part]:
    """List ProDA's head."""
    parts = []
    for index in range(5):
        source = f'layer5.conv2d_list.{index}'
        target = f'decode_head.branches.{index}'
        parts.append(Part(f'{source}.0', f'{target}.conv', AFFINE))
        parts.append(Part(f'{source}.1', f'{target}.gn', AFFINE))
    bottleneck = 'layer5.bottleneck'
    return parts + [
        Part(f'{bottleneck}.0.se.0', 'decode_head.se.fc1', AFFINE),
        Part(f'{bottleneck}.0.se.2', 'decode_head.se.fc2', AFFINE),
        Part(f'{bottleneck}.1', 'decode_head.bottleneck.conv', AFFINE),
        Part(f'{bottleneck}.2', 'decode_head.bottleneck.gn', AFFINE),
        Part('layer5.head.1', 'decode_head.conv_seg', WEIGHT),
    ]


def cag_head() -> list[Part]:
    """List CAG's DeepLab-V3+ head: pairs of convolution and norm."""
    pairs = [
        *(
            (
                f'aspp{i + 1}.atrous_conv',
                f'aspp{i + 1}.bn',
                f'aspp_modules.{i}',
            )
            for i in range(4)
        ),
        ('global_avg_pool.1', 'global_avg_pool.2', 'image_pool.1'),
        ('conv1', 'bn1', 'bottleneck'),
    ]
    modules = [(f'aspp.{c}', f'aspp.{n}', target) for c, n, target in pairs]
    modules += [
        ('decoder.conv1', 'decoder.bn1', 'c1_bottleneck'),
        ('decoder.last_conv.0', 'decoder.last_conv.1', 'fuse.0'),
        ('decoder.last_conv.4', 'decoder.last_conv.5', 'fuse.2'),
    ]
    parts = []
    for conv, norm, target in modules:
        parts.append(Part(conv, f'decode_head.{target}.conv', WEIGHT))
        parts.append(Part(norm, f'decode_head.{target}.bn', NORM))
    return [
        *parts,
        Part('decoder.last_conv.8', 'decode_head.conv_seg', AFFINE),
    ]


def mit(depths: Sequence[int]) -> list[Part]:
    """List the backbone of SegFormer; `join_mit` finishes it."""
    parts = []
    for i, depth in enumerate(depths):
        layer = f'backbone.layers.{i}'
        embedding = f'backbone.patch_embed{i + 1}'
        parts += [
            Part(f'{embedding}.proj', f'{layer}.0.projection', AFFINE),
            Part(f'{embedding}.norm', f'{layer}.0.norm', AFFINE),
            Part(f'backbone.norm{i + 1}', f'{layer}.2', AFFINE),
        ]
        names = [*MIT_BLOCK.items()]
        if i < len(depths) - 1:  # the last stage is small enough
            names += [(f'attn.{part}',) * 2 for part in ('sr', 'norm')]
        parts += [
            Part(
                f'backbone.block{i + 1}.{block}.{source}',
                f'{layer}.1.{block}.{target}',
                AFFINE,
            )
            for block in range(depth)
            for source, target in names
        ]
    return parts


MIT_BLOCK = {
    'norm1': 'norm1',
    'attn.q': 'attn.attn.q',
    'attn.kv': 'attn.attn.kv',
    'attn.proj': 'attn.attn.out_proj',
    'norm2': 'norm2',
    'mlp.fc1': 'ffn.layers.0',
    'mlp.dwconv.dwconv': 'ffn.layers.1',
    'mlp.fc2': 'ffn.layers.4',
}


def join_mit(weights: Weights) -> Weights:
    """Join queries with keys and values; make linear maps convolutions."""
    joined = {}
    for key, value in weights.items():
        start, _, name = key.rpartition('.attn.attn.')
        if name in ('q.weight', 'q.bias'):
            own = name.removeprefix('q.')
            others = weights[f'{start}.attn.attn.kv.{own}']
            target = f'{start}.attn.attn.in_proj_{own}'
            joined[target] = torch.cat([value, others])
        elif re.search(r'\.ffn\.layers\.[04]\.weight$', key):
            joined[key] = value[..., None, None]
        elif not name.startswith('kv.'):
            joined[key] = value
    return joined


def daformer_head(name: str = 'decode_head') -> list[Part]:
    """List DAFormer's head, with the names of the release."""
    fusion = f'{name}.fuse_layer'
    convs = [f'{fusion}.aspp_modules.0', f'{fusion}.bottleneck']
    for branch in (1, 2, 3):
        for half in ('depthwise_conv', 'pointwise_conv'):
            convs.append(f'{fusion}.aspp_modules.{branch}.{half}')
    return same(
        [(f'{name}.embed_layers.{i}.proj', AFFINE) for i in range(4)]
        + [(f'{conv}.conv', WEIGHT) for conv in convs]
        + [(f'{conv}.bn', NORM) for conv in convs]
        + [(f'{name}.conv_seg', AFFINE)]
    )


def scale_attention() -> list[Part]:
    """List HRDA's scale attention."""
    name = 'decode_head.scale_attention'
    return same(
        [(f'{name}.embed_layers.{i}.proj', AFFINE) for i in range(4)]
        + [(f'{name}.fuse_layer.conv', WEIGHT)]
        + [(f'{name}.fuse_layer.bn', NORM), (f'{name}.conv_seg', AFFINE)]
    )


def reduced_dlv2(branches: int) -> list[Part]:
    """List the DeepLab-V2 head of DAFormer's ResNet rows."""
    return [
        Part(
            f'decode_head.aspp_modules.{i}.conv',
            f'decode_head.branches.{i}',
            AFFINE,
        )
        for i in range(branches)
    ]


def dinov2(depth: int, *tokens: str) -> list[Part]:
    """List the encoder of VFM-UDA, with DINOv2's names.

    Args:
        depth: Blocks.
        *tokens: Tensors beside class token and position embedding.
    """
    own = 'network.encoder', 'backbone'
    parts = [Part(*own, ('cls_token', 'pos_embed', *tokens))]
    modules = {'patch_embed.proj': AFFINE}
    for index in range(depth):
        block = f'blocks.{index}'
        for name in ('norm1', 'attn.qkv', 'attn.proj', 'norm2'):
            modules[f'{block}.{name}'] = AFFINE
        for name in ('mlp.fc1', 'mlp.fc2'):
            modules[f'{block}.{name}'] = AFFINE
        for name in ('ls1', 'ls2'):
            modules[f'{block}.{name}'] = ('gamma',)
    return parts + under(*own, modules)


def under(source: str, target: str, modules: dict) -> list[Part]:
    """List modules by the same names in two parents."""
    return [
        Part(f'{source}.{name}', f'{target}.{name}', tensors)
        for name, tensors in modules.items()
    ]


def vit_adapter() -> list[Part]:
    """List VFM-UDA++'s modules beside the ViT, under the same names."""
    looks = ['query_norm', 'feat_norm'] + [
        f'attn.{name}'
        for name in (
            'sampling_offsets',
            'attention_weights',
            'value_proj',
            'output_proj',
        )
    ]
    ffn = ['ffn.fc1', 'ffn.dwconv.dwconv', 'ffn.fc2', 'ffn_norm']
    modules: dict[str, tuple[str, ...]] = {'up': AFFINE}
    for i in (0, 3, 6):
        modules |= {f'spm.stem.{i}': WEIGHT, f'spm.stem.{i + 1}': NORM}
    for i in (2, 3, 4):
        modules |= {f'spm.conv{i}.0': WEIGHT, f'spm.conv{i}.1': NORM}
    for i in (1, 2, 3, 4):
        modules |= {f'spm.fc{i}': AFFINE, f'norm{i}': NORM}
        own = f'interactions.{i - 1}'
        modules[f'{own}.injector'] = ('gamma',)
        extractors = [f'{own}.extractor']
        if i == 4:
            extractors += [f'{own}.extra_extractors.{n}' for n in (0, 1)]
        modules |= {f'{own}.injector.{name}': AFFINE for name in looks}
        for extractor in extractors:
            modules |= {f'{extractor}.{n}': AFFINE for n in looks + ffn}
    return under('network.encoder', 'backbone', modules)


def vfm_uda(depth: int) -> Format:
    """Make the format of VFM-UDA: a Lightning checkpoint's student."""
    upscale = {str(i): WEIGHT for i in (0, 3, 5)}
    upscale |= {str(i): AFFINE for i in (1, 4, 6)}
    parts = dinov2(depth, 'mask_token')
    parts += under('network.encoder', 'backbone', {'norm': AFFINE})
    parts += under('network.upscale', 'decode_head.upscale', upscale)
    return Format(('state_dict',), parts + [VFM_OUT], dropped=VFM_DROPPED)


def vfm_uda_plus(depth: int) -> Format:
    """Make the format of VFM-UDA++."""
    names = [f'{n}_conv{i}' for n in ('up', 'reduce') for i in (1, 2, 3)]
    names += [f'smooth_conv{i}' for i in (1, 2, 3, 4)]
    upscale = dict.fromkeys(names, AFFINE)
    upscale |= {f'norm{i}': NORM for i in (1, 2, 3)}
    parts = dinov2(depth, 'level_embed') + vit_adapter()
    parts += under('network.upscale', 'decode_head', upscale)
    return Format(('state_dict',), parts + [VFM_OUT], dropped=VFM_DROPPED)


VFM_OUT = Part('network.out', 'decode_head.conv_seg', WEIGHT)
# The mask token a second time, teacher, frozen encoders and projections.
VFM_DROPPED = (
    'network.token_masking.',
    'network_ema.',
    'network_pretrained_frozen.',
    'network_feature_',
)


def same(modules: list[tuple[str, tuple[str, ...]]]) -> list[Part]:
    """List modules that keep their names."""
    return [Part(name, name, tensors) for name, tensors in modules]


def of_mmcv(
    parts: list[Part],
    dropped: tuple[str, ...] = (),
    finish: Callable[[Weights], Weights] = join_mit,
) -> Format:
    """Make the format of a checkpoint of DAFormer or its successors."""
    return Format(('state_dict',), parts, dropped=dropped, finish=finish)


# SePiCo's projections are used only in training.
PROJECTIONS = ('auxiliary_head.',)
HRDA = of_mmcv(
    mit(MIT_B5_DEPTHS) + daformer_head('decode_head.head') + scale_attention()
)
RESNET = resnet101('backbone.', deep_stem=True)
FORMATS = {
    # Also MIC on DAFormer.
    'daformer': of_mmcv(mit(MIT_B5_DEPTHS) + daformer_head()),
    'daformer_r101': of_mmcv(RESNET + reduced_dlv2(2), finish=dict),
    'hrda': HRDA,
    'mic': HRDA,
    'sepico': of_mmcv(mit(MIT_B5_DEPTHS) + daformer_head(), PROJECTIONS),
    'sepico_r101': of_mmcv(RESNET + reduced_dlv2(4), PROJECTIONS, dict),
    'vfm_uda_b': vfm_uda(12),
    'vfm_uda_l': vfm_uda(24),
    'vfm_uda_plus_b': vfm_uda_plus(12),
    'vfm_uda_plus_l': vfm_uda_plus(24),
    'cag': Format(
        ('DeepLab', 'model_state'), resnet101('backbone.') + cag_head()
    ),
    'adaptsegnet': Format(
        (),
        resnet101()
        + dlv2('layer6', 'decode_head', active=2)
        + dlv2('layer5', 'auxiliary_head', active=2),
    ),
    # Also BDL's published checkpoints, from before its fix to four branches.
    'adaptsegnet_single': Format(
        (), resnet101() + dlv2('layer5', 'decode_head', active=2)
    ),
    'clan': Format(
        (),
        resnet101()
        + dlv2('layer5', 'decode_head.heads.0')
        + dlv2('layer6', 'decode_head.heads.1'),
    ),
    'bdl': Format((), resnet101() + dlv2('layer5', 'decode_head')),
    'proda': Format(
        ('ResNet101', 'model_state'),
        resnet101() + proda_head(),
        optional=[Part('bn_pretrain', 'decode_head.input_bn', NORM)],
    ),
    # ImageNet weights that the DeepLab-V2 family starts from.
    'deeplab_init': Format((), resnet101(), dropped=('layer5.',)),
    'fc_discriminator': Format(
        (),
        [
            Part(name, name, AFFINE)
            for name in ('conv1', 'conv2', 'conv3', 'conv4', 'classifier')
        ],
    ),
}


def read_published(path: str | Path, name: str) -> dict[str, Tensor]:
    """Read a published checkpoint under this project's names.

    Args:
        path: The checkpoint.
        name: Its format, a key of ``FORMATS``.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If the file has another format or is not safe to read.
    """
    content = safe_load(path)
    for key in FORMATS[name].path:
        if not isinstance(content, dict) or key not in content:
            raise UserError(
                f'{path}: expected the weights of format {name!r} under '
                f'{".".join(FORMATS[name].path)}, found no key {key!r}'
            )
        content = content[key]
    if not is_state_dict(content):
        raise UserError(f'{path}: expected weights, tensors by name')
    try:
        return rename(content, name)
    except ValueError as error:
        raise UserError(f'{path}: {error}') from error


def rename(state: Weights, name: str) -> Weights:
    """Rename published weights.

    Removes prefixes of wrappers and sets the batch norm counters that PyTorch
    up to 0.4.0 did not save to zero.

    Args:
        state: Weights by published key.
        name: Their format, a key of ``FORMATS``.

    Raises:
        ValueError: If a key is missing or unexpected.
    """
    layout = FORMATS[name]
    state = {re.sub(r'^(module\.|Scale\.)+', '', k): state[k] for k in state}
    if layout.path == ('state_dict',):
        state = student_of(state)
    state = {k: state[k] for k in state if not k.startswith(layout.dropped)}
    parts = layout.parts + [
        part for part in layout.optional if f'{part.source}.weight' in state
    ]
    keys = {
        f'{part.source}.{tensor}': part.target and f'{part.target}.{tensor}'
        for part in parts
        for tensor in part.tensors
    }
    for key in keys:
        if key.endswith('.num_batches_tracked'):
            state.setdefault(key, torch.zeros((), dtype=torch.long))
    _check(name, keys.keys(), state.keys())
    return layout.finish({keys[k]: state[k] for k in keys if keys[k]})


def student_of(state: Weights) -> Weights:
    """Choose the student of a run; source-only runs have just one network."""
    if not any(key.startswith(STUDENT) for key in state):
        return state
    return {
        key.removeprefix(STUDENT): value
        for key, value in state.items()
        if not key.startswith(OTHER_NETWORKS)
    }


def _check(name: str, expected: set[str], found: set[str]) -> None:
    problems = [
        f'{len(keys)} {kind} ({", ".join(sorted(keys)[:4])}'
        + (', ...)' if len(keys) > 4 else ')')
        for kind, keys in (
            ('missing', expected - found),
            ('unexpected', found - expected),
        )
        if keys
    ]
    if problems:
        raise ValueError(
            f'not a checkpoint of format {name!r}: keys '
            + ' and '.join(problems)
        )

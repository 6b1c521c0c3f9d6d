# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Rename the weights of published checkpoints to those of this project.

A format is a list of parts, each one module of the published network with
its name here. The list is complete, so that any other or absent key is an
error.
"""

from __future__ import annotations

import re
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
DLV2_BRANCHES = 4


class Part(NamedTuple):
    """A module: its published name, its name here, its tensors."""

    source: str
    target: str | None
    tensors: tuple[str, ...]


class Format(NamedTuple):
    """Where a checkpoint keeps its weights and what they are.

    ``optional`` parts are imported if present, ``dropped`` prefixes ignored.
    """

    path: tuple[str, ...]
    parts: list[Part]
    optional: list[Part] = []
    dropped: tuple[str, ...] = ()


def resnet101(prefix: str = '') -> list[Part]:
    """List the backbone, whose names differ only in their prefix."""
    modules = [('conv1', WEIGHT), ('bn1', NORM)]
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
    """List a DeepLab-V2 head; branches that are not active have no target."""
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


FORMATS = {
    'cag': Format(
        ('DeepLab', 'model_state'), resnet101('backbone.') + cag_head()
    ),
    'adaptsegnet': Format(
        (),
        resnet101()
        + dlv2('layer6', 'decode_head', active=2)
        + dlv2('layer5', 'auxiliary_head', active=2),
    ),
    # Also BDL's published checkpoints, older than its fix to four branches.
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
    # The ImageNet weights that the DeepLab-V2 family starts from.
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
        name: Its format, one of the keys of ``FORMATS``.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If the file is not of that format or not safe to read.
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


def rename(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Rename published weights.

    Prefixes of wrappers are removed, and the counters of batch norm that
    PyTorch up to 0.4.0 did not save are set to zero.

    Args:
        state: Weights by published key.
        name: Their format, one of the keys of ``FORMATS``.

    Raises:
        ValueError: If a key is missing or unexpected.
    """
    layout = FORMATS[name]
    state = {re.sub(r'^(module\.|Scale\.)+', '', k): state[k] for k in state}
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
    return {keys[key]: state[key] for key in keys if keys[key]}


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

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""DINOv2 and DINOv3 against the values of the releases."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from mmseg_cag.errors import UserError
from tests.golden import golden_file

FILES = ('dinov2_reg0', 'dinov2_reg4', 'dinov2_swiglu')
TOLERANCE = 1e-5  # of the largest value
TINY = dict(dim=48, depth=3, heads=3)


class Golden:
    """Reference values, their images and weights in float32."""

    def __init__(self, name: str) -> None:
        path = golden_file(f'foundation/{name}.npz')
        self.values = np.load(path)
        self.meta = json.loads(str(self.values['meta']))

    def __getitem__(self, key: str) -> torch.Tensor:
        value = torch.from_numpy(self.values[key])
        return value.float() if value.is_floating_point() else value

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        keys = [key for key in self.values.files if key.startswith('w/')]
        return {key.removeprefix('w/'): self[key] for key in keys}

    @property
    def sizes(self) -> list[str]:
        return [f'{h}x{w}' for _, h, w in self.meta['sizes']]


def assert_near(actual: torch.Tensor, expected: torch.Tensor) -> None:
    off = (actual - expected).abs().max()
    assert off <= TOLERANCE * expected.abs().max()


def write(golden: Golden, folder, drop=()) -> str:
    path = folder / 'official.pth'
    torch.save(
        {k: v for k, v in golden.weights.items() if k not in drop}, path
    )
    return str(path)


def build(golden: Golden, folder, **kwargs):
    """Build an encoder as large as the reference, loaded from a file."""
    meta = golden.meta
    cfg = dict(
        type='DINOv3' if 'rope_base' in meta else 'DINOv2',
        arch=dict(
            dim=meta['embed_dim'],
            depth=meta['depth'],
            heads=meta['num_heads'],
            gated=(meta.get('ffn') or meta['mlp']) != 'mlp',
        ),
        init_cfg=dict(type='Pretrained', checkpoint=write(golden, folder)),
    )
    if cfg['type'] == 'DINOv2':
        cfg['registers'] = meta['num_register_tokens']
        cfg['pretrain_size'] = meta['img_size']
    else:
        cfg['accept_terms'] = True
    encoder = MODELS.build({**cfg, **kwargs})
    encoder.init_weights()
    return encoder


@pytest.mark.parametrize('name', FILES)
def test_it_computes_what_the_release_does(tmp_path, name):
    golden = Golden(name)
    every = tuple(range(golden.meta['depth']))
    encoder = build(golden, tmp_path, out_indices=every).eval()
    plain = build(golden, tmp_path, out_indices=every, final_norm=False)
    pairs = build(golden, tmp_path, out_indices=every, output_cls_token=True)
    for size in golden.sizes:
        images = golden[f'{size}/image']
        h, w = (side // 14 for side in images.shape[-2:])
        assert_near(encoder.positions(h, w), golden[f'{size}/pos_embed'])
        for layer, normed, raw, (_, cls) in zip(
            every, encoder(images), plain(images), pairs(images), strict=True
        ):
            prefix = f'{size}/layer{layer}'
            assert_near(normed, golden[f'{prefix}/norm'])
            assert_near(raw, golden[f'{prefix}/raw'])
            assert_near(cls, golden[f'{prefix}/cls'])
        masked = encoder(images, golden[f'{size}/mask'])[-1]
        tokens = golden[f'{size}/masked/x_norm_patchtokens']
        assert_near(masked.flatten(2).mT, tokens)


@pytest.mark.parametrize('name', ['dinov3', 'dinov3_gated'])
def test_dinov3_computes_what_the_libraries_do(tmp_path, name):
    golden = Golden(name)
    every = tuple(range(golden.meta['depth']))
    encoder = build(golden, tmp_path, out_indices=every)
    plain = build(golden, tmp_path, out_indices=every, final_norm=False)
    stored = build(golden, tmp_path, stored_periods=True)
    for size in golden.sizes:
        images = golden[f'{size}/image']
        h, w = (side // 16 for side in images.shape[-2:])
        for own, key in zip(
            encoder.sin_cos((h, w)), ('sin', 'cos'), strict=True
        ):
            assert_near(own, golden[f'{size}/rope_{key}'])
        for layer, normed, raw in zip(
            every, encoder(images), plain(images), strict=True
        ):
            assert_near(normed, golden[f'{size}/layer{layer}/norm'])
            assert_near(raw, golden[f'{size}/layer{layer}/raw'])
        expected = golden[f'{size}/with_stored_periods/norm']
        assert_near(stored(images)[0], expected)


def test_a_file_of_another_encoder_is_refused_in_one_line(tmp_path):
    reg0, reg4, v3 = map(Golden, ('dinov2_reg0', 'dinov2_reg4', 'dinov3'))
    cases = [
        (reg4, dict(registers=0), '4 registers in it, but registers=0'),
        (reg0, dict(registers=4), '0 registers in it, but registers=4'),
        (reg0, dict(arch='base'), '3 blocks of 48 channels in it'),
        (reg0, dict(pretrain_size=98), '1 tensors differ, .* pos_embed'),
        (v3, dict(type='DINOv2', arch=TINY), "type='DINOv3'"),
        (reg0, dict(type='DINOv3', arch=TINY), 'no open-source licence'),
    ]
    for golden, changes, message in cases:
        with pytest.raises(UserError, match=message) as error:
            kwargs = dict(changes)
            if kwargs.get('type') == 'DINOv2':
                path = write(golden, tmp_path)
                MODELS.build(
                    dict(
                        init_cfg=dict(type='Pretrained', checkpoint=path),
                        **kwargs,
                    )
                ).init_weights()
            elif kwargs.get('type') == 'DINOv3':
                path = write(golden, tmp_path)
                MODELS.build(
                    dict(
                        init_cfg=dict(type='Pretrained', checkpoint=path),
                        **kwargs,
                    )
                ).init_weights()
            else:
                build(golden, tmp_path, **kwargs)
        assert '\n' not in str(error.value)

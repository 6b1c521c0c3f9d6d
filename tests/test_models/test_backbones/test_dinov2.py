# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""DINOv2 and DINOv3 against the values of the releases."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_cag.errors import UserError
from tests.golden import golden_file
from tests.tiny import dacs

FILES = ('dinov2_reg0', 'dinov2_reg4', 'dinov2_swiglu')
TOLERANCE = 1e-5  # of the largest value
TINY = dict(dim=48, depth=3, heads=3)


class Golden:
    """Reference values, their images and weights in float32."""

    def __init__(self, name: str, meta: str = 'meta') -> None:
        path = golden_file(f'foundation/{name}.npz')
        self.values = np.load(path)
        if meta in self.values:
            self.meta = json.loads(str(self.values[meta]))

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


def load(golden: Golden, folder, **kwargs) -> None:
    path = write(golden, folder)
    init = dict(type='Pretrained', checkpoint=path)
    MODELS.build(dict(init_cfg=init, **kwargs)).init_weights()


def test_a_file_of_another_encoder_is_refused_in_one_line(tmp_path):
    v2 = dict(type='DINOv2', arch=TINY)
    for file, kwargs, message in (
        ('dinov2_reg4', v2, 'has 4 registers, expected registers=0'),
        ('dinov2_reg0', dict(v2, registers=4), 'has 0 registers'),
        ('dinov2_reg0', dict(v2, arch='base'), '3 blocks of 48 channels'),
        ('dinov2_reg0', dict(v2, pretrain_size=98), 'first is pos_embed'),
        ('dinov3', v2, "is of DINOv3, expected type='DINOv3'"),
        ('dinov2_reg0', dict(v2, type='DINOv3'), 'no open-source licence'),
        (
            'dinov2_reg0',
            dict(v2, type='DINOv3', accept_terms=True),
            "is of DINOv2, expected type='DINOv2'",
        ),
    ):
        with pytest.raises(UserError, match=message) as error:
            load(Golden(file), tmp_path, **kwargs)
        assert '\n' not in str(error.value)


def test_what_is_no_weight_file_is_refused(tmp_path):
    for content, message in (
        (dict(a=1), 'tensors by name'),
        (dict(a=torch.ones(1)), 'the file has no pos_embed'),
    ):
        path = tmp_path / 'file.pth'
        torch.save(content, path)
        with pytest.raises(UserError, match=message):
            tiny(
                init_cfg=dict(type='Pretrained', checkpoint=str(path))
            ).init_weights()


def tiny(kind: str = 'DINOv2', **kwargs) -> torch.nn.Module:
    if kind == 'DINOv2':
        kwargs = dict(pretrain_size=56, **kwargs)
    torch.manual_seed(0)
    encoder = MODELS.build(dict(type=kind, arch=TINY, **kwargs))
    encoder.init_weights()
    for block in encoder.blocks:
        block.ls1.gamma.data.fill_(1)
        block.ls2.gamma.data.fill_(1)
    return encoder


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(arch='tiny'), "expected one of ['small', 'base'"),
        (dict(out_indices=(0, 3)), 'has 3, but there are blocks 0 to 2'),
        (dict(out_indices=(-4,)), 'has -4'),
        (dict(frozen_stages=4), "expected -1 to 3 or 'all'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(kwargs, message):
    with pytest.raises(UserError) as error:
        MODELS.build({'type': 'DINOv2', 'arch': TINY, **kwargs})
    assert message in str(error.value)


def test_sizes_that_the_patches_do_not_divide():
    with pytest.raises(UserError, match='images of 28x30 pixels.* of 14'):
        tiny()(torch.zeros(1, 3, 28, 30))
    [small] = tiny(resize=1.0)(torch.zeros(1, 3, 28, 57))
    assert small.shape == (1, 48, 2, 4)
    [large] = tiny(resize=(70, 42))(torch.zeros(1, 3, 28, 57))
    assert large.shape == (1, 48, 5, 3)


@pytest.mark.parametrize('kind', ['DINOv2', 'DINOv3'])
def test_checkpointing_changes_no_gradient(kind):
    images = torch.randn(1, 3, 112, 112)
    grads = []
    for with_cp in (False, True):
        encoder = tiny(kind, with_cp=with_cp, masked=True)
        mask = torch.zeros(1, (112 // encoder.patch) ** 2, dtype=torch.bool)
        mask[:, ::3] = True
        encoder(images, mask)[0].square().mean().backward()
        grads.append({n: p.grad for n, p in encoder.named_parameters()})
    assert None not in grads[0].values()
    for name, grad in grads[0].items():
        assert torch.equal(grad, grads[1][name]), name


def test_what_is_frozen_wants_no_gradient():
    def trained(**kwargs) -> set[str]:
        encoder = tiny(**kwargs)
        encoder.train()
        return {n for n, p in encoder.named_parameters() if p.requires_grad}

    every = trained()
    assert 'pos_embed' in every and 'mask_token' not in every
    assert trained(frozen_stages='all') == set()
    first = {n for n in every if not n.startswith(('blocks.2', 'norm'))}
    assert trained(frozen_stages=2) == every - first
    # What does not run and is not used waits for no gradient.
    assert every - trained(out_indices=(0, 1)) == {
        n for n in every if n.startswith('blocks.2')
    }
    assert every - trained(final_norm=False) == {'norm.weight', 'norm.bias'}
    [out] = tiny(frozen_stages='all')(torch.randn(1, 3, 28, 28))
    assert not out.requires_grad


class LargestTensor(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, torch.Tensor):
                self.numbers = max(self.numbers, value.numel())
        return out


@pytest.mark.parametrize('kind', ['DINOv2', 'DINOv3'])
def test_the_attention_matrix_is_never_there(kind):
    encoder = tiny(kind)
    tokens = 40 * 40
    side = 40 * encoder.patch
    with LargestTensor() as largest:
        encoder(torch.zeros(1, 3, side, side))[0].sum().backward()
    # The MLP's hidden layer, the images; not M x T x T.
    assert largest.numbers <= max(5 * 48 * tokens, 3 * side**2)
    assert largest.numbers < tokens**2


@pytest.mark.parametrize('kind', ['DINOv2', 'DINOv3'])
def test_it_computes_in_bfloat16(kind):
    encoder = tiny(kind)
    images = torch.randn(1, 3, 112, 112)
    [full] = encoder(images)
    with torch.autocast('cpu', torch.bfloat16):
        [half] = encoder(images)
    assert (full - half).abs().max() < 0.05 * full.abs().max()


def test_a_teacher_does_not_copy_what_is_frozen():
    model = MODELS.build(
        {
            **dacs(),
            'backbone': dict(
                type='DINOv2', arch=TINY, pretrain_size=56, frozen_stages=2
            ),
            'decode_head': dict(type='VFMUDAHead', in_channels=48)
            | dict(num_classes=19),
        }
    )
    own, copied = model.backbone, model.teacher.module.backbone
    assert copied.pos_embed is own.pos_embed
    assert copied.blocks[1].mlp.fc1.weight is own.blocks[1].mlp.fc1.weight
    trained = copied.blocks[2].mlp.fc1.weight
    assert trained is not own.blocks[2].mlp.fc1.weight
    assert not trained.requires_grad

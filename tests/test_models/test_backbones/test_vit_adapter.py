# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The networks of VFM-UDA and VFM-UDA++ against the releases."""

from __future__ import annotations

import pytest
import torch
from checkpoint_formats import FORMATS, rename, vfm_uda, vfm_uda_plus
from mmseg.registry import MODELS

from mmseg_cag.models.backbones.vit_adapter import DeformableAttention
from mmseg_cag.models.segmentors.base import run_network
from tests.test_models.test_backbones.test_dinov2 import Golden, assert_near
from tests.test_models.test_segmentors.test_step_waits import NoCopies
from tests.tiny import preprocessor

CLASSES = 19


def part(golden: Golden, prefix: str) -> dict[str, torch.Tensor]:
    keys = [k for k in golden.values.files if k.startswith(prefix)]
    return {k.removeprefix(prefix): golden[k] for k in keys}


@pytest.mark.parametrize('case', ['a', 'b'])
def test_deformable_attention_is_the_operator(case):
    golden = Golden('deformable_attention', f'{case}/meta')
    meta = golden.meta
    module = DeformableAttention(
        meta['d_model'],
        meta['n_heads'],
        len(meta['shapes']),
        meta['n_points'],
        meta['ratio'],
    )
    module.init_weights()
    assert_near(
        module.sampling_offsets.bias,
        golden[f'{case}/init/sampling_offsets.bias'],
    )
    module.load_state_dict(part(golden, f'{case}/w/'))
    query = golden[f'{case}/query'].requires_grad_()
    value = golden[f'{case}/value'].requires_grad_()
    reference = golden[f'{case}/reference_points']
    out = module(query, reference, value, meta['shapes'])
    assert_near(out, golden[f'{case}/output'])
    out.square().sum().backward()
    assert_near(query.grad, golden[f'{case}/grad_query'])
    assert_near(value.grad, golden[f'{case}/grad_value'])


def test_a_deformed_place_outside_of_the_map_counts_as_zero():
    module = DeformableAttention(4, 1, 1, points=1, ratio=1)
    module.init_weights()
    torch.nn.init.constant_(module.sampling_offsets.bias, 99)
    out = module(
        torch.ones(1, 1, 4),
        torch.full((1, 1, 1, 2), 0.5),
        torch.ones(1, 6, 4),
        [(2, 3)],
    )
    assert_near(out + 1, module.output_proj.bias + torch.ones(1, 1, 4))


def network(backbone: dict, head: dict) -> torch.nn.Module:
    return MODELS.build(
        dict(
            type='EncoderDecoder',
            data_preprocessor=preprocessor(),
            backbone=backbone,
            decode_head=dict(num_classes=CLASSES, **head),
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
        )
    )


def load(model: torch.nn.Module, golden: Golden) -> torch.nn.Module:
    """Load the release's weights as its checkpoints are imported."""
    depth = len(model.backbone.blocks)
    plus = hasattr(model.backbone, 'spm')
    layout = (vfm_uda_plus if plus else vfm_uda)(depth)
    weights = golden.weights
    weights['network_ema.out.weight'] = weights['network.out.weight']
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FORMATS, 'tiny', layout)
        model.load_state_dict(rename(weights, 'tiny'))
        weights['network.encoder.more'] = torch.ones(1)
        with pytest.raises(ValueError, match='1 unexpected'):
            rename(weights, 'tiny')
    return model


def test_no_size_of_a_map_is_copied_to_a_gpu():
    module = DeformableAttention(8, 2, 2)
    query, value = torch.rand(1, 3, 8), torch.rand(1, 10, 8)
    with NoCopies():
        found = module(query, torch.rand(1, 3, 1, 2), value, [(2, 3), (2, 2)])
    assert found.shape == query.shape


def test_the_network_of_vfm_uda():
    golden = Golden('vfmuda_network')
    size = golden.meta['encoder']
    model = network(
        dict(
            type='DINOv2',
            arch={key: size[key] for key in ('dim', 'depth', 'heads')},
            pretrain_size=size['img'],
            resize=1.1,
            masked=True,
        ),
        dict(type='VFMUDAHead', in_channels=size['dim']),
    )
    load(model, golden)
    image = golden['image']

    def logits(maps: tuple) -> torch.Tensor:
        scores = model.decode_head(maps)
        return torch.nn.functional.interpolate(scores, 64, mode='bilinear')

    maps = model.backbone(image)
    assert_near(maps[0], golden['features'])
    assert_near(logits(maps), golden['logits'])
    mask = golden['mask/rand'] < 0.7
    assert torch.equal(mask, golden['mask/masked_tokens'])
    maps = model.backbone(image, mask)
    assert_near(maps[0], golden['mask/features'])
    scores = logits(maps)
    assert_near(scores, golden['mask/logits'])
    scores.square().mean().backward()
    encoder = model.backbone
    assert_near(encoder.mask_token.grad, golden['mask/grad_mask_token'])
    bias = encoder.patch_embed.proj.bias
    assert_near(bias.grad, golden['mask/grad_patch_embed_bias'])


def plus_network(golden: Golden) -> torch.nn.Module:
    meta = golden.meta
    model = network(
        dict(
            type='ViTAdapter',
            arch=dict(
                dim=meta['embed_dim'],
                depth=meta['depth'],
                heads=meta['num_heads'],
            ),
            pretrain_size=meta['pos_grid'] * meta['patch_size'],
            prior_channels=meta['conv_inplane'],
            resize=(224, 224),
        ),
        dict(type='VFMUDAPlusHead', in_channels=meta['embed_dim']),
    )
    return load(model, golden)


def test_the_network_of_vfm_uda_plus():
    golden = Golden('vfmudapp_network')
    model = plus_network(golden).eval()
    image = golden['image']
    c1, c2, c3, c4 = model.backbone.spm(model.backbone.fit(image))
    assert_near(c1[:, ::8], golden['eval/spm_c1_every_8th_channel'])
    for own, every, key in ((c2, 8, 'c2'), (c3, 4, 'c3'), (c4, 1, 'c4')):
        expected = golden[f'eval/spm_{key}']
        assert_near(own.flatten(2).mT[:, ::every], expected)
    maps = model.backbone(image)
    for level, (own, every) in enumerate(
        zip(maps, (8, 8, 1, 1), strict=True), start=1
    ):
        assert_near(own[:, ::every], golden[f'eval/f{level}'])
    output = run_network(model, image)
    assert_near(output.feat, golden['eval/upscaled'])


def test_the_network_of_vfm_uda_plus_in_training():
    golden = Golden('vfmudapp_network')
    model = plus_network(golden).train()
    image = golden['image']
    images = torch.cat([image, 0.8 * image.flip(3)])
    mask = golden['train/mask_rand'][:, 0] <= 0.7
    scores = model.decode_head(model.backbone(images, mask))
    scores = torch.nn.functional.interpolate(scores, 192, mode='bilinear')
    assert_near(scores[..., ::4, ::4], golden['train/logits_every_4th'])
    norm = model.backbone.norm4
    assert_near(norm.running_mean, golden['train/norm4_running_mean'])
    assert_near(norm.running_var, golden['train/norm4_running_var'])
    variance = model.decode_head.norm3.running_var
    assert_near(variance, golden['train/upscale_norm3_running_var'])
    scores.square().mean().backward()
    places = {'encoder.': 'backbone.', 'upscale.': 'decode_head.'}
    for key, expected in part(golden, 'train/grad/').items():
        [old] = [name for name in places if key.startswith(name)]
        name = places[old] + key.removeprefix(old)
        own = model.get_parameter(name).grad
        if expected.abs().max() > 1e-6:
            assert_near(own, expected)
        else:  # what a batch norm takes away again: noise
            assert own.abs().max() < 1e-6

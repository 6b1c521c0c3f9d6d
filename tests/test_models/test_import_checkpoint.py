# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Published checkpoints, imported, must compute what they computed."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_formats import (
    FORMATS,
    read_published,
    rename,
)
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_cag.models.discriminators import FCDiscriminator
from tests.golden import golden_file

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_' / 'models'
# What the checkpoints hold besides weights; CAG's best_iou is NumPy's.
LAYOUTS = {
    'cag': lambda weights: {
        'DeepLab': {
            'model_state': weights,
            'optimizer_state': {'state': {}, 'param_groups': []},
            'scheduler_state': {'last_epoch': 3},
        },
        'iter': 3,
        'best_iou': np.float64(0.5),
    },
    'proda': lambda weights: {
        'ResNet101': {
            'model_state': weights,
            'objective_vectors': torch.zeros(19, 256),
        },
        'iter': 3,
        'best_iou': 0.5,
    },
}


def golden_weights(network):
    """Weights that are a function of their key, as the values' notes say."""
    keys = json.loads(golden_file(f'{network}_keys.json').read_text())
    return {key: weight_of(key, shape) for key, shape in keys.items()}


def weight_of(key, shape):
    if key.endswith('num_batches_tracked'):
        return torch.zeros((), dtype=torch.long)
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith('running_mean'):
        value = 0.1 * rng.standard_normal(shape)
    elif key.endswith('running_var'):
        value = 0.5 + rng.random(shape)
    elif len(shape) == 4:
        value = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif len(shape) == 2:
        value = rng.standard_normal(shape) * np.sqrt(1 / shape[1])
    elif len(shape) == 1 and key.endswith('weight'):
        scale = 0.3 if key.endswith('bn3.weight') else 1
        value = (1 + 0.1 * rng.standard_normal(shape)) * scale
    else:
        value = 0.1 * rng.standard_normal(shape)
    return torch.from_numpy(value.astype(np.float32))


def imported(name, network, config, tmp_path):
    """A published file of golden weights, read into the configured model."""
    path = tmp_path / 'published.pth'
    torch.save(
        LAYOUTS.get(name, lambda weights: weights)(golden_weights(network)),
        path,
    )
    # Only the imported weights give the model any values at all.
    with torch.device('meta'):
        model = MODELS.build(config)
    model.load_state_dict(read_published(path, name), assign=True)
    path.unlink()
    return model.eval()


def model_config(file):
    return Config.fromfile(CONFIGS / file).model


def outputs(network):
    arrays = np.load(golden_file(f'{network}_io.npz'))
    return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def assert_same(got, want, tolerance=1e-4):
    """Equal up to the order of float32 sums, relative to the largest."""
    assert got.shape == want.shape
    assert (got - want).abs().max() <= tolerance * want.abs().max()


def record_input(module, store, key):
    module.register_forward_pre_hook(
        lambda _, inputs: store.update({key: inputs[0]})
    )


@torch.no_grad()
def test_cag(tmp_path):
    want = outputs('cag_deeplab')
    config = model_config('deeplabv3plus_r101_cag.py')
    model = imported('cag', 'cag_deeplab', config, tmp_path)
    got = {}
    record_input(model.decode_head.conv_seg, got, 'feat')
    record_input(model.decode_head.bottleneck_dropout, got, 'aspp')
    levels = model.backbone(want['input'])
    got |= {'low': levels[0], 'logits': model.decode_head(levels)}
    for key in ('low', 'aspp', 'feat', 'logits'):
        assert_same(got[key], want[key])


@torch.no_grad()
def test_proda(tmp_path):
    want = outputs('proda')
    config = model_config('deeplabv2-proda_r101.py')
    model = imported('proda', 'proda', config, tmp_path)
    got = {}
    record_input(model.decode_head.conv_seg, got, 'feat')
    got['logits'] = model.decode_head(model.backbone(want['input']))
    for key in ('feat', 'logits'):
        assert_same(got[key], want[key])


@torch.no_grad()
def test_adaptsegnet(tmp_path):
    want = outputs('adaptsegnet')
    config = model_config('deeplabv2_r101.py')
    config.decode_head.active_branches = 2
    config.auxiliary_head = dict(
        config.decode_head, in_channels=1024, in_index=2
    )
    model = imported('adaptsegnet', 'adaptsegnet', config, tmp_path)
    levels = model.backbone(want['input'])
    assert_same(model.decode_head(levels), want['logits'])
    assert_same(model.auxiliary_head(levels), want['logits_aux'])


@torch.no_grad()
def test_clan(tmp_path):
    want = outputs('clan')
    config = model_config('deeplabv2_r101.py')
    config.decode_head.type = 'CoTrainingHead'
    del config.decode_head['active_branches']
    model = imported('clan', 'clan', config, tmp_path)
    levels = model.backbone(want['input'])
    first, second = model.decode_head.forward_each(levels)
    assert_same(first, want['logits_1'])
    assert_same(second, want['logits_2'])
    assert_same(model.decode_head(levels), want['logits_1'] + want['logits_2'])


@torch.no_grad()
def test_bdl(tmp_path):
    want = outputs('bdl')
    config = model_config('deeplabv2_r101.py')
    model = imported('bdl', 'bdl', config, tmp_path)
    assert_same(
        model.decode_head(model.backbone(want['input'])), want['logits']
    )


def of_a_run(weights, prefix=''):
    """What a run of DAFormer saves: three networks and the optimizer."""
    states = {f'{prefix}model.{key}': v for key, v in weights.items()}
    for other in ('ema_model', 'imnet_model', 'mic.teacher.ema_model'):
        for key in [*weights][:3]:
            states[f'{prefix}{other}.{key}'] = torch.zeros(1)
    return {
        'meta': {'CLASSES': ('road', 'sidewalk'), 'iter': 40000},
        'state_dict': states,
        'optimizer': {'state': {}, 'param_groups': []},
    }


@torch.no_grad()
def test_daformer(tmp_path, monkeypatch):
    monkeypatch.setitem(LAYOUTS, 'daformer', of_a_run)
    linspace = torch.linspace  # whose values MiT reads
    monkeypatch.setattr(
        'torch.linspace', lambda *given: linspace(*given, device='cpu')
    )
    want = outputs('modern/daformer_mitb5')
    config = model_config('daformer_mit-b5.py')
    model = imported('daformer', 'modern/daformer_mitb5', config, tmp_path)
    # What is left is the release's rounding, less than another eps makes.
    levels = model.double().backbone(want['input'].double())
    for i, level in enumerate(levels):
        assert_same(level, want[f'feature_{i}'], 2e-6)
    assert_same(model.decode_head(levels), want['logits'], 3e-5)


@torch.no_grad()
def test_hrda(tmp_path, monkeypatch):
    monkeypatch.setitem(LAYOUTS, 'hrda', of_a_run)
    linspace = torch.linspace  # whose values MiT reads
    monkeypatch.setattr(
        'torch.linspace', lambda *given: linspace(*given, device='cpu')
    )
    want = outputs('modern/hrda_mitb5')
    config = model_config('hrda_mit-b5.py')
    config.backbone.detail_size = (64, 64)
    model = imported('hrda', 'modern/hrda_mitb5', config, tmp_path)
    fused = model.decode_head(model.backbone(want['input']))
    assert_same(fused, want['fused'], 3e-5)
    meta = [dict(img_shape=(128, 128))]
    logits = model.encode_decode(want['input'], meta)
    assert_same(logits[..., ::4, ::4], want['logits'], 3e-5)


def test_the_keys_of_daformer():
    weights = golden_weights('modern/daformer_mitb5')
    assert len(weights) == 1110
    assert len(rename(weights, 'daformer')) == 1110 - 2 * 52


@pytest.mark.parametrize('name', ['hrda', 'mic'])
def test_the_keys_of_hrda(name, tmp_path):
    weights = golden_weights('modern/hrda_mitb5')
    path = tmp_path / 'published.pth'
    torch.save(of_a_run(weights, 'module.'), path)
    renamed = read_published(path, name)
    assert len(renamed) == 1126 - 2 * 52
    key = 'decode_head.scale_attention.fuse_layer.bn.running_var'
    assert torch.equal(renamed[key], weights[key])


@pytest.mark.parametrize(
    ('name', 'file', 'branches'),
    [('daformer_r101', 'dlv2red_r101', 2), ('sepico_r101', 'dlv2red_r101', 4)],
)
def test_resnet_of_daformer(name, file, branches):
    state = small_state(name)
    config = model_config(f'{file}.py')
    config.decode_head.active_branches = branches
    config.decode_head.dilations = (6, 12, 18, 24)
    with torch.device('meta'):
        model = MODELS.build(config)
    renamed = rename(state, name)
    assert renamed.keys() == model.state_dict().keys()


def test_projections_of_sepico_are_left_out():
    state = golden_weights('modern/daformer_mitb5')
    plain = rename(state, 'daformer')
    state = {f'model.{key}': value for key, value in state.items()}
    state['model.auxiliary_head.convs.0.conv.weight'] = torch.zeros(1)
    assert rename(state, 'sepico').keys() == plain.keys()
    with pytest.raises(ValueError, match=r'unexpected \(auxiliary_head'):
        rename(state, 'daformer')


def test_a_run_lacks_nothing_and_has_no_more():
    state = {f'model.{key}': v for key, v in small_state('daformer').items()}
    state['head.weight'] = torch.zeros(1)
    with pytest.raises(ValueError, match=r'1 unexpected \(head\.weight\)'):
        rename(state, 'daformer')
    del state['head.weight'], state['model.backbone.norm1.weight']
    with pytest.raises(ValueError, match=r'1 missing \(backbone\.norm1'):
        rename(state, 'daformer')


@torch.no_grad()
def test_fc_discriminator():
    want = outputs('adaptsegnet')
    net = FCDiscriminator(in_channels=19)
    net.load_state_dict(
        rename(golden_weights('fc_discriminator'), 'fc_discriminator')
    )
    assert_same(net(want['d_in']), want['d_out'])


def small_state(name):
    """Every key of a format, with a tensor that tells the keys apart."""
    keys = [
        f'{part.source}.{tensor}'
        for part in FORMATS[name].parts
        for tensor in part.tensors
    ]
    return {key: torch.tensor([float(i)]) for i, key in enumerate(keys)}


@pytest.mark.parametrize('prefix', ['module.', 'Scale.'])
def test_prefixes_of_wrappers_are_removed(prefix):
    state = small_state('bdl')
    wrapped = {prefix + key: value for key, value in state.items()}
    assert rename(wrapped, 'bdl') == rename(state, 'bdl')


def test_absent_counters_are_zero():
    state = small_state('bdl')
    counters = [key for key in state if key.endswith('_tracked')]
    for key in counters:
        del state[key]
    renamed = rename(state, 'bdl')
    assert len(counters) == 104
    assert renamed['backbone.bn1.num_batches_tracked'] == 0


def test_dead_branches_are_left_out():
    state = small_state('adaptsegnet')
    assert 'layer6.conv2d_list.3.weight' in state
    branches = {
        key.split('.')[2]
        for key in rename(state, 'adaptsegnet')
        if key.startswith('decode_head')
    }
    assert branches == {'0', '1'}


def test_input_norm_of_proda_is_optional():
    state = small_state('proda')
    without = rename(state, 'proda')
    for tensor in ('weight', 'bias', 'running_mean', 'running_var'):
        state[f'bn_pretrain.{tensor}'] = torch.ones(1)
    added = rename(state, 'proda').keys() - without.keys()
    assert {key.rpartition('.')[0] for key in added} == {
        'decode_head.input_bn'
    }
    assert len(added) == 5


def test_init_weights_of_the_family_leave_out_the_head():
    state = small_state('deeplab_init')
    state['layer5.conv2d_list.0.weight'] = torch.ones(1)
    assert all(
        key.startswith('backbone.') for key in rename(state, 'deeplab_init')
    )


def test_missing_and_unexpected_keys_are_named():
    state = small_state('clan')
    state['layer9.weight'] = state.pop('layer5.conv2d_list.0.bias')
    with pytest.raises(ValueError) as caught:
        rename(state, 'clan')
    message = str(caught.value)
    assert '1 missing (layer5.conv2d_list.0.bias)' in message
    assert '1 unexpected (layer9.weight)' in message
    assert '\n' not in message


def test_other_layout_names_the_file_and_the_key(tmp_path):
    path = tmp_path / 'flat.pth'
    torch.save(small_state('bdl'), path)
    with pytest.raises(ValueError, match=r"flat\.pth: .*'DeepLab'"):
        read_published(path, 'cag')
    with pytest.raises(ValueError, match=r'flat\.pth: .*layer6'):
        read_published(path, 'adaptsegnet')

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os

import pytest
import torch
from mmengine.config import Config

from mmseg_cag.errors import UserError
from mmseg_cag.inference.demo.network import load_network
from tests import tiny


class Hostile:
    """Runs a command where it is unpickled."""

    def __reduce__(self):
        return os.system, ('touch ran',)


def direct() -> dict:
    network = tiny.segmentor()
    network.update(type='SingleResizeEncoderDecoder')
    network.test_cfg.softmax_first = True
    return network


@pytest.mark.parametrize(
    'network',
    [tiny.segmentor(), tiny.cag(), tiny.adversarial((0.1, 0.1)), direct()],
    ids=lambda network: network.type,
)
def test_every_methods_checkpoint_becomes_the_stock_segmentor(
    network, make_checkpoint, tmp_path
):
    path = make_checkpoint(tmp_path / 'x.pth', network)
    model = load_network(path)
    assert type(model).__name__ == 'EncoderDecoder' and not model.training
    saved = torch.load(path, weights_only=False)['state_dict']
    for key, value in model.state_dict().items():
        assert torch.equal(value, saved[key])


def test_files_that_only_training_reads_are_no_matter(
    make_checkpoint, tmp_path
):
    content = torch.load(
        make_checkpoint(tmp_path / 'x.pth', tiny.segmentor()),
        weights_only=False,
    )
    files = dict(config='configs/a.py', checkpoint='work_dirs/a.pth')
    model = Config.fromstring(content['meta']['cfg'], '.py').model.to_dict()
    model.update(
        type='DistillSegmentor',
        backbone=dict(
            type='CachedEncoder',
            folder='work_dirs/features',
            encoder=model['backbone'],
        ),
        distillation=dict(teacher=files),
    )
    content['meta']['cfg'] += f'\nmodel = {model}\n'
    content['state_dict'] = {
        key.replace('backbone.', 'backbone.encoder.'): value
        for key, value in content['state_dict'].items()
    }
    torch.save(content, tmp_path / 'x.pth')
    assert load_network(tmp_path / 'x.pth').backbone.folder is None


def test_clans_two_classifiers_become_one(make_checkpoint, tmp_path):
    path = make_checkpoint(tmp_path / 'x.pth', tiny.clan())
    state = torch.load(path, weights_only=False)['state_dict']
    both = state['decode_head.conv_seg.weight'] + state['co_classifier.weight']
    actual = load_network(path).decode_head.conv_seg.weight
    assert torch.equal(actual, both)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ("\nx = __import__('os').system('touch ran')", 'not plain data'),
        ("\ncustom_imports = dict(imports=['antigravity'])", 'antigravity'),
        ('\ncustom_imports = dict(imports=[{}])', 'of no run'),
        ("\nmodel = dict(type='os.system')", "'os.system'"),
        (
            "\nmodel['backbone'] = dict(type='subprocess.Popen')",
            'not plain data',
        ),
        ("\nmodel = dict(backbone=dict(_scope_='antigravity'))", '_scope_'),
        (
            "\nmodel = dict(decode_head=dict(w='http://x/weights.pkl'))",
            "'http://x/weights.pkl'",
        ),
        ('\nmodel = 1', 'of no run'),
        ('\ntest_dataloader = dict()', 'of no run'),
        ("\nmodel = dict(type='NoSuchClass')", 'cannot be built'),
    ],
)
def test_a_hostile_config_is_refused_and_nothing_runs(
    change, message, make_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = make_checkpoint(tmp_path / 'x.pth', tiny.segmentor(), change)
    with pytest.raises(UserError, match=message) as caught:
        load_network(path)
    assert 'x.pth' in str(caught.value) and '\n' not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ['x.pth']


def test_a_hostile_pickle_is_refused_and_nothing_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({'state_dict': {}, 'x': Hostile()}, 'x.pth')
    with pytest.raises(UserError, match=r'x\.pth: refused'):
        load_network(tmp_path / 'x.pth')
    assert [file.name for file in tmp_path.iterdir()] == ['x.pth']


def test_where_weights_came_from_is_no_longer_asked(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=False)
    text = content['meta']['cfg']
    for part, own in (
        ('backbone', "pretrained='https://nowhere.invalid/weights.pth', "),
        ('loss_decode', "class_weight='weights.pkl', "),
    ):
        assert f'{part}=dict(' in text
        text = text.replace(f'{part}=dict(', f'{part}=dict({own}')
    content['meta']['cfg'] = text
    torch.save(content, tmp_path / 'x.pth')
    load_network(tmp_path / 'x.pth')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'state_dict': {}}, 'contains no config, name it by --config'),
        ({'state_dict': {}, 'meta': [1]}, 'contains no config'),
        ({'state_dict': {}, 'meta': None}, 'contains no config'),
        ({'x': 1}, 'has no state_dict'),
        ([1], 'has no state_dict'),
    ],
)
def test_what_is_missing_is_named(content, message, tmp_path):
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(UserError, match=rf'x\.pth: {message}'):
        load_network(tmp_path / 'x.pth')


def test_weights_of_another_network_are_refused(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=False)
    content['state_dict'].popitem()
    content['state_dict'] = {
        key: value
        for key, value in content['state_dict'].items()
        if not key.endswith('bias')
    }
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(UserError, match=r"x\.pth: does not fit this config's"):
        load_network(tmp_path / 'x.pth')


def test_missing_files_are_named(checkpoint, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no\.pth: checkpoint not'):
        load_network(tmp_path / 'no.pth')
    with pytest.raises(FileNotFoundError, match=r'no\.py: config file not'):
        load_network(checkpoint, tmp_path / 'no.py')

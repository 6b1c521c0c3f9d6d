# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import runpy
import shutil
from argparse import Namespace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from licences import read_chain
from mmengine.config import Config
from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS

from mmseg_cag.analysis.runs.labeling_network import load_labeling_network
from mmseg_cag.analysis.runs.network import read_state, view
from mmseg_cag.engine.records.descent import DESCENT, entry, inherited
from mmseg_cag.errors import UserError
from mmseg_cag.inference.demo.network import load_network
from mmseg_cag.inference.export_onnx import (
    DeploymentModel,
    compare_onnx,
    export_onnx,
)
from mmseg_cag.watch import Card, Watch
from tests import tiny

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/model_converters/export_onnx.py'


@pytest.fixture
def export(monkeypatch, tmp_path):
    """Write a config's network of random weights as ONNX.

    Only the depth shrinks, no kind or width of layer: docs/deploy.md has the
    figures of the networks themselves.
    """

    def run(config: str, *options: object) -> tuple[Path, Path, Path]:
        path, checkpoint, dst = (
            tmp_path / name for name in ('run.py', 'run.pth', 'student.onnx')
        )
        cfg = Config.fromfile(ROOT / 'configs' / config).to_dict()
        if 'num_layers' in cfg['model']['backbone']:
            cfg['model']['backbone']['num_layers'] = [1, 1, 1, 1]
        if cfg['model']['backbone']['type'] == 'DINOv2':
            arch = dict(dim=768, depth=1, heads=12)
            cfg['model']['backbone']['arch'] = arch
        Config(cfg, format_python_code=False).dump(path)
        network = MODELS.build(cfg['model'])
        state = network.state_dict()
        if 'anchor_bank.counts' in state:
            state['anchor_bank.counts'] += 1  # else they are made of data
            torch.nn.init.normal_(state['anchor_bank.anchors'])
        if 'pseudo_label_head.unknown.limit' in state:
            state['pseudo_label_head.unknown.limit'].fill_(3.0)
        meta = {DESCENT: [entry('data', 'GTA5', 'LicenseRef-GTA5')]}
        torch.save(dict(meta=meta, state_dict=state), checkpoint)
        arguments = [TOOL, path, checkpoint, dst, *options]
        monkeypatch.setattr('sys.argv', list(map(str, arguments)))
        runpy.run_path(str(TOOL), run_name='__main__')
        return path, checkpoint, dst

    bottleneck, _ = ResNet.arch_settings[50]
    shallow = (bottleneck, (1, 1, 1, 2))
    monkeypatch.setitem(ResNet.arch_settings, 50, shallow)
    return run


def images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape).float()


long = partial(pytest.param, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ('config', 'options', 'size'),
    [
        ('minitown/cag.py', ['--size', 32, 64], (32, 64)),
        long('minitown/hrda.py', ['--size', 96, 128], (96, 128)),
        long(
            'cag/deeplabv2_r50_gta2cs.py',
            ['--size', 33, 65, '--any-size'],
            (41, 49),
        ),
        long('cag/segformer_mit-b2_gta2cs.py', ['--size', 64, 64], (64, 64)),
        long('cag/vfmuda_dinov2-b_gta2cs.py', ['--size', 64, 96], (64, 96)),
    ],
)
def test_onnx_and_pytorch_agree(config, options, size, export, monkeypatch):
    path, checkpoint, dst = export(config, *options)
    model = load_network(checkpoint, path).cpu()
    batch = images(2, 3, *size)
    session = onnxruntime.InferenceSession(dst)
    [actual] = session.run(['logits'], {'image': batch.numpy()})
    # By mmseg's own way, not by the module that was exported.
    data = model.data_preprocessor({'inputs': list(batch)})
    with torch.no_grad():
        expected = model.encode_decode(
            data['inputs'], [dict(img_shape=size)] * 2
        ).numpy()
    assert actual.shape == expected.shape == (2, 19, *size)
    limit = 1e-4 * np.ptp(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit)
    if config == 'minitown/cag.py':
        photo = np.random.default_rng(0).integers(0, 256, (48, 80, 3))
        cv2.imwrite(str(dst.with_name('photo.jpg')), photo)
        found = run_snippet(dst.parent, monkeypatch)
        photo = cv2.imread('photo.jpg')
        seen = torch.from_numpy(cv2.resize(photo, size[::-1]))
        data = model.data_preprocessor({'inputs': [seen.permute(2, 0, 1)]})
        with torch.no_grad():
            scores = model.encode_decode(
                data['inputs'], [dict(img_shape=size)]
            )
        own = cv2.resize(
            scores[0].argmax(0).numpy().astype(np.uint8),
            (80, 48),
            interpolation=cv2.INTER_NEAREST,
        )
        assert found['labels'].shape == (48, 80)
        assert (found['labels'] == own).mean() > 0.99
        run, data = chain = read_chain(dst)
        assert chain == inherited(checkpoint, 'exported from')
        assert (run['kind'], data['name']) == ('run', 'GTA5')
        with torch.no_grad():
            model.decode_head.conv_seg.weight.mul_(1.01)
        with pytest.raises(
            UserError, match=r'student\.onnx: differs'
        ) as caught:
            compare_onnx(DeploymentModel(model), dst, batch)
        assert '\n' not in str(caught.value)


@pytest.mark.long
def test_limits_come_with_the_network(export):
    options = ('--size', 32, 64, '--unknown')
    path, checkpoint, dst = export('minitown/cag_open.py', *options)
    image = images(2, 3, 32, 64)
    session = onnxruntime.InferenceSession(dst)
    [actual] = session.run(['unknown'], {'image': image.numpy()})
    cfg, state = Config.fromfile(path), read_state(checkpoint)
    labeler = load_labeling_network(cfg, state, checkpoint)
    inputs = labeler.model.data_preprocessor(dict(inputs=list(image)))
    seen = view(labeler.model, inputs['inputs'])
    distances = labeler.bank.distances(seen.feat)
    expected = (
        distances.amin(1) / labeler.head.unknown.limit[distances.argmin(1)]
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-4)
    with pytest.raises(SystemExit, match='run.py: --unknown needs model'):
        export('minitown/cag.py', *options)


def test_limits_that_the_checkpoint_lacks(tmp_path):
    cfg = Config(dict(model=tiny.cag(margin='auto')))
    model = MODELS.build(cfg.model)
    model.anchor_bank.counts += 1
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'run.pth')
    cfg.model.pseudo_label_head.unknown_quantile = 0.9
    (tmp_path / 'run.py').write_text(f'model = {cfg.model.to_dict()!r}')
    args = Namespace(
        config=tmp_path / 'run.py',
        checkpoint=tmp_path / 'run.pth',
        unknown=True,
    )
    tool = runpy.run_path(str(TOOL))
    with pytest.raises(UserError, match='run.pth: the checkpoint has no lim'):
        tool['watched_model'](model, args)


@pytest.mark.long
def test_a_card_comes_with_the_network(export, tmp_path):
    frames = tmp_path / 'frames'
    frames.mkdir()
    rng = np.random.default_rng(0)
    for i in range(50):
        image = rng.integers(0, 256, (16, 32, 3), np.uint8)
        cv2.imwrite(str(frames / f'{i}.png'), image)
    options = ('--size', 32, 64, '--card', frames)
    path, checkpoint, dst = export('minitown/cag.py', *options)
    card = Card.read(tmp_path / 'student.card.json')
    assert card.frames == 50 and card.classes[0] == 'road'
    watch = Watch(dst, card)
    image = rng.integers(0, 256, (32, 64, 3), np.uint8)
    frame = watch.network.look(image)
    # By the plugin's own anchors, not by what was exported.
    cfg, state = Config.fromfile(path), read_state(checkpoint)
    labeler = load_labeling_network(cfg, state, checkpoint)
    inputs = dict(inputs=[torch.from_numpy(image).permute(2, 0, 1)])
    model = labeler.model
    seen = view(model, model.data_preprocessor(inputs)['inputs'])
    label, gap = labeler.bank.nearest(seen.feat)
    assert (frame.nearest == label.flatten().numpy()).mean() > 0.99
    limit = 1e-4 * frame.distance.max()
    np.testing.assert_allclose(
        frame.gap, gap.flatten().numpy(), rtol=0, atol=limit
    )
    maps = [own[0].flatten(1) for own in seen.pyramid[:2]]
    moments = [m for own in maps for m in (own.mean(1), own.std(1))]
    np.testing.assert_allclose(
        frame.moments, torch.cat(moments), rtol=0.02, atol=1e-4
    )


def test_what_is_wrong_is_said_in_one_line(monkeypatch, tmp_path, capsys):
    config = ROOT / 'configs/minitown/cag.py'
    command = [str(TOOL), str(config), 'gone.pth', str(tmp_path / 'x.onnx')]
    monkeypatch.setattr('sys.argv', command)
    with pytest.raises(SystemExit, match='error: gone.pth: checkpoint not'):
        runpy.run_path(str(TOOL), run_name='__main__')
    monkeypatch.setattr('sys.argv', [*command[:-1], 'x.pth'])
    with pytest.raises(SystemExit):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert 'x.pth: expected a file name' in capsys.readouterr().err
    monkeypatch.setattr('sys.argv', [*command, '--size', '0', '64'])
    with pytest.raises(SystemExit):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert '--size 0 64: expected at least 1' in capsys.readouterr().err
    frames = tmp_path.with_name('gone')
    monkeypatch.setattr('sys.argv', [*command, '--card', str(frames)])
    with pytest.raises(SystemExit, match='gone: no such folder or video'):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert not list(tmp_path.iterdir())


def test_without_a_size_it_is_that_of_the_test_images(tmp_path):
    size_of_test = runpy.run_path(str(TOOL))['size_of_test']
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run')
    path = Path('run.py')
    # Images of 32x64 with the proportions kept; labels are not opened.
    steps = [*tiny.pipeline('Cityscapes')]
    steps.insert(1, dict(type='Resize', scale=(48, 48), keep_ratio=True))
    cfg.val_dataloader.dataset.pipeline = cfg.test_pipeline = steps
    shutil.rmtree(tmp_path / 'cityscapes/gtFine')
    assert size_of_test(cfg, path) == (24, 48)
    shutil.rmtree(tmp_path / 'cityscapes/leftImg8bit')
    for _ in range(2):
        with pytest.raises(UserError, match='^run.py: expected --size H W'):
            size_of_test(cfg, path)
        cfg.pop('val_dataloader')


def run_snippet(folder: Path, monkeypatch) -> dict:
    """Run docs/deploy.md's own code in a folder; returns its names."""
    text = (ROOT / 'docs/deploy.md').read_text()
    [code] = [
        part
        for part in text.split('```python\n')
        if 'InferenceSession' in part
    ]
    monkeypatch.chdir(folder)
    Path('own.py').write_text(code.partition('```')[0])
    return runpy.run_path('own.py')


def test_a_size_that_the_network_does_not_take(tmp_path):
    network = tiny.segmentor()
    network.backbone = dict(
        type='DINOv2',
        arch=dict(dim=48, depth=1, heads=3),
        pretrain_size=56,
        resize=None,
    )
    network.decode_head.in_channels = 48
    model = DeploymentModel(MODELS.build(network))
    with pytest.raises(UserError, match='multiples of 14'):
        export_onnx(model, tmp_path / 'x.onnx', (30, 56))
    assert not list(tmp_path.iterdir())

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""From a finished run to a student in three forms, by one command."""

from __future__ import annotations

import copy
import json
import runpy
from datetime import date
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from benchmarks.rows import machine
from forms import cost, make
from licences import read_chain
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from onnxruntime import InferenceSession
from onnxruntime import __version__ as onnxruntime_version

from mmseg_cag.fileio.checkpoints import checkpoint_hash
from mmseg_cag.inference.export_onnx import DeploymentModel, export_onnx
from tests import tiny

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/distill.py'


def run(root: Path, name: str, model: dict) -> Config:
    """Two iterations on the target's images, then a test."""
    cfg = tiny.adversarial_run(root, root / name, model)
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
    )
    cfg.test_dataloader, cfg.test_cfg = (
        cfg.val_dataloader,
        dict(type='TestLoop'),
    )
    cfg.test_evaluator = cfg.val_evaluator = dict(type='UDAIoUMetric')
    cfg.default_hooks.provenance = dict(type='ProvenanceHook')
    return cfg


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    """A finished run of a wider network, and the config of a student."""
    root = tmp_path_factory.mktemp('distill')
    tiny.write_towns(root)
    wide = tiny.dacs(neck=True)
    wide.neck.out_channels = wide.decode_head.in_channels = 12
    Runner.from_cfg(run(root, 'big', wide)).train()
    small = dict(
        tiny.segmentor(),
        type='DistillSegmentor',
        distillation=dict(weights=dict(soft=1.0), teacher={}),
    )
    cfg = run(root, 'small', small)
    domains = cfg.train_dataloader.dataset.domains
    parts = [copy.deepcopy(domains.target) for _ in range(2)]
    members = dict(zip(('day', 'night'), parts, strict=True))
    domains.target = dict(type='DomainPool', members=members)
    cfg.dump(root / 'small.py')
    return root


def call(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr('sys.argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_from_a_finished_run_to_three_forms(root, monkeypatch, capsys):
    calls = []

    def measure(path, *words):
        calls.append((path.name, words[:2]))
        return dict(ms=1.0, peak_mb=2.0)

    monkeypatch.setattr(make, 'measure', measure)
    # A GPU does nothing here.
    monkeypatch.setattr(machine, 'processor', lambda: 'a GPU')
    call(monkeypatch, root / 'big', root / 'small.py', '--calibration', 3)
    folder = root / 'small/forms'
    written = json.loads((folder / 'forms.json').read_text())
    forms = written['forms']
    assert written['date'] == str(date.today())
    assert written['machine']['processor'] == machine.cpu()
    assert written['machine']['class'] == machine.slug(machine.cpu())
    versions = dict(torch=torch.__version__, onnxruntime=onnxruntime_version)
    assert versions.items() <= written['versions'].items()
    assert [f['name'] for f in forms] == ['PyTorch', 'ONNX', 'ONNX, INT8']
    assert [name for name, _ in calls] == [
        'student.pth',
        'student.onnx',
        'student.int8.onnx',
    ]
    assert {words for _, words in calls} == {('32', '64')}
    # By mmseg's own way, on the images on disk.
    cfg = Config.fromfile(root / 'small.py')
    cfg.model = tiny.segmentor()
    cfg.load_from = str(root / 'small/iter_2.pth')
    cfg.work_dir = str(root / 'test')
    cfg.experiment_name = 'test_of_the_student'
    expected = Runner.from_cfg(cfg).test()['mIoU']
    assert forms[0]['miou'] == pytest.approx(expected)
    assert forms[1]['miou'] == pytest.approx(expected, abs=0.5)
    kinds = {
        node.op_type
        for node in onnx.load(folder / 'student.int8.onnx').graph.node
    }
    assert {'QuantizeLinear', 'DequantizeLinear'} <= kinds
    image = np.full((1, 3, *tiny.SIZE), 100, np.float32)
    exact, rounded = (
        InferenceSession(folder / name).run(None, {'image': image})[0]
        for name in ('student.onnx', 'student.int8.onnx')
    )
    assert 0 < np.abs(exact - rounded).max() < 0.2 * np.ptp(exact)
    assert 'ONNX, INT8' in capsys.readouterr().out
    taught = torch.load(root / 'small/iter_2.pth', weights_only=False)
    teacher = 'distillation.teacher.module.'
    big = torch.load(root / 'big/iter_2.pth', weights_only=False)
    for key, value in taught['state_dict'].items():
        if key.startswith(teacher) and 'decode_head' in key:
            own = big['state_dict'][key.removeprefix(teacher)]
            assert torch.equal(value, own), key
    # Who ships INT8 is told of the teacher and of its data.
    for form in ('student.pth', 'student.onnx', 'student.int8.onnx'):
        chain = read_chain(folder / form)
        runs = {
            one['used_as']: one['sha256']
            for one in chain
            if one['kind'] == 'run'
        }
        assert runs == {
            'exported from': checkpoint_hash(root / 'small/iter_2.pth'),
            'model.distillation.teacher': checkpoint_hash(
                root / 'big/iter_2.pth'
            ),
        }
        names = {one['name'] for one in chain if one['kind'] == 'data'}
        assert names == {'GTA5', 'Cityscapes'}
        calibrated = 'calibration of INT8' in {one['used_as'] for one in chain}
        assert calibrated == ('int8' in form)
    # A second call trains nothing anew.
    before = (root / 'small/iter_2.pth').stat().st_mtime_ns
    call(monkeypatch, root / 'big', root / 'small.py', '--calibration', 3)
    assert (root / 'small/iter_2.pth').stat().st_mtime_ns == before


def test_a_form_is_tested_by_classes_alone(root):
    network = MODELS.build(tiny.segmentor()).eval()
    found = []
    for metric in (
        dict(type='UDAIoUMetric'),
        [dict(type='OpenSetIoUMetric', target_only=['bus'])],
        dict(
            type='UDAIoUMetric', format_only=True, output_dir=str(root / 'o')
        ),
    ):
        cfg = run(root, 'open', tiny.segmentor())
        cfg.test_evaluator = metric
        logits = DeploymentModel(network)
        found.append(make.evaluate(cfg, network, logits, 'PyTorch'))
    assert found[0] == found[1] and found[2] is None


def of_size(root: Path, part: str, size: tuple[int, int]) -> Path:
    """A student, without a teacher, that reads an image of another size."""
    cfg = Config.fromfile(root / 'small.py')
    cfg.model.distillation.pop('teacher')
    cfg.work_dir = str(root / f'size_{part}')
    dataset = cfg.test_dataloader.dataset
    if part == 'night':
        target = cfg.train_dataloader.dataset.domains.target
        dataset = target.members.night
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    tiny.save_image(root / part / 'a_leftImg8bit.png', image)
    dataset.update(data_root=str(root), pipeline=tiny.pipeline(None))
    dataset.data_prefix = dict(img_path=part)
    cfg.dump(root / f'size_{part}.py')
    return root / f'size_{part}.py'


def test_a_pool_of_targets_calibrates(root):
    cfg = Config.fromfile(root / 'small.py')
    dataset = make.DATASETS.build(make.target_images(cfg, pooled=True))
    numbers = [0, 3, 6, 9]  # of twice five images
    images = make.target_pixels(cfg, len(numbers))
    for number, image in zip(numbers, images, strict=True):
        assert np.array_equal(image[0], dataset[number]['inputs'])


@pytest.mark.parametrize('part', ['night', 'test'])
def test_sizes_that_differ_are_told_before_training(root, monkeypatch, part):
    config = of_size(root, part, (16, 48))
    name = f'{part}/a_leftImg8bit.png: is tested at .16, 48., but'
    with pytest.raises(SystemExit, match=name):
        call(monkeypatch, root / 'big', config)
    assert not [*(root / f'size_{part}').glob('*.pth')]


def test_what_a_form_costs(tmp_path, monkeypatch):
    network = MODELS.build(tiny.segmentor())
    path = tmp_path / 'student.onnx'
    export_onnx(DeploymentModel(network), path, tiny.SIZE)
    found = make.measure(path, *map(str, tiny.SIZE))
    assert 0 < found['ms'] < 1000
    # Of a process without torch, not of the one that asked.
    assert 10 < found['peak_mb'] < cost.peak_memory() / 2
    with pytest.raises(make.UserError, match=r'gone\.onnx: cannot be run'):
        make.measure(tmp_path / 'gone.onnx', '32', '64')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['gone'], 'gone: no such work dir'),
        (['big', 'big/gone.py'], 'gone.py: config file not found'),
        (['big', 'plain.py'], 'model.distillation is not set, expected'),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments, message, root, monkeypatch
):
    run(root, 'plain', tiny.segmentor()).dump(root / 'plain.py')
    with pytest.raises(SystemExit, match=message) as caught:
        call(monkeypatch, *(root / name for name in arguments))
    assert '\n' not in str(caught.value)


def test_a_run_that_is_not_finished_teaches_nobody(root, monkeypatch):
    (root / 'big/iter_2.pth').rename(root / 'big/iter_2.away')
    try:
        with pytest.raises(SystemExit, match='has no iter_2.pth, expected'):
            call(monkeypatch, root / 'big', root / 'small.py')
    finally:
        (root / 'big/iter_2.away').rename(root / 'big/iter_2.pth')

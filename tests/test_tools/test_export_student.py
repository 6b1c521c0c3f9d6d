# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmseg.apis import MMSegInferencer, inference_model, init_model
from mmseg.registry import MODELS

from mmseg_cag.analysis.runs.run import dumped_configs, open_run
from tests import tiny

TOOL = Path(__file__).parents[2] / 'tools/model_converters/export_student.py'


@pytest.fixture
def command(monkeypatch):
    def run(*args: object) -> Path:
        monkeypatch.setattr('sys.argv', [TOOL.name, *map(str, args)])
        runpy.run_path(str(TOOL), run_name='__main__')
        return Path(args[-1])

    return run


@pytest.fixture
def trained(tmp_path) -> tuple[Path, Path]:
    """A config and a checkpoint, as a run leaves them."""
    return save_run(tmp_path, tiny.cag(neck=True))


def save_run(folder: Path, network: dict) -> tuple[Path, Path]:
    cfg = tiny.run_config(folder, folder / 'run')
    cfg.model = network
    cfg.test_dataloader = cfg.val_dataloader
    cfg.dump(folder / 'run.py')
    model = MODELS.build(cfg.model)
    for key, value in model.state_dict().items():
        if value.is_floating_point() and 'running_var' not in key:
            value.copy_(torch.randn_like(value))
    weights = model.state_dict()
    torch.save({'meta': {}, 'state_dict': weights}, folder / 'run.pth')
    return folder / 'run.py', folder / 'run.pth'


def picture(folder: Path) -> Path:
    path = folder / 'image.png'
    rng = np.random.default_rng(0)
    cv2.imwrite(str(path), rng.integers(0, 256, (*tiny.SIZE, 3), np.uint8))
    return path


@pytest.mark.usefixtures('formatted')
def test_predictions_of_stock_mmseg_are_bit_equal(command, trained, tmp_path):
    image = picture(tmp_path)
    dst = command(*trained, tmp_path / 'student.pth')
    stock = init_model(str(dst.with_suffix('.py')), str(dst), device='cpu')
    assert type(stock).__name__ == 'EncoderDecoder'
    modules = [type(module).__module__ for module in stock.modules()]
    assert not any(name.startswith('mmseg_cag') for name in modules)
    student = MODELS.build(Config.fromfile(trained[0]).model).eval()
    student.load_state_dict(torch.load(trained[1])['state_dict'])
    sample = Compose(stock.cfg.test_pipeline)({'img_path': str(image)})
    [expected] = student.test_step({k: [v] for k, v in sample.items()})
    actual = inference_model(stock, str(image))
    assert torch.equal(actual.seg_logits.data, expected.seg_logits.data)
    assert torch.equal(actual.pred_sem_seg.data, expected.pred_sem_seg.data)
    assert expected.pred_sem_seg.data.unique().numel() > 1


def test_only_the_student_and_its_classes_are_written(
    command, trained, tmp_path
):
    dst = command(*trained, tmp_path / 'student.pth')
    written = torch.load(dst, weights_only=True)
    parts = {key.split('.')[0] for key in written['state_dict']}
    assert parts == {'backbone', 'neck', 'decode_head'}
    meta = written['meta']['dataset_meta']
    assert len(meta['classes']) == len(meta['palette']) == 19
    cfg = Config.fromfile(dst.with_suffix('.py'))
    assert cfg.custom_imports.imports == ['tests.tiny']


def test_a_class_of_the_plugin_keeps_the_import(command, tmp_path):
    network = tiny.cag()
    network.decode_head = dict(
        type='DLV2Head',
        in_channels=8,
        num_classes=19,
        align_corners=True,
        loss_decode=dict(type='CrossEntropyLoss'),
    )
    dst = command(*save_run(tmp_path, stock(network)), tmp_path / 'out.pth')
    cfg = Config.fromfile(dst.with_suffix('.py'))
    assert cfg.custom_imports.imports == ['mmseg_cag', 'tests.tiny']


def stock(network: dict) -> dict:
    """Take the method away, which needs a head with one classifier."""
    own = {'anchor_bank', 'anchor_loss', 'pseudo_label_head'}
    own.add('pseudo_label_loss')
    network = {k: v for k, v in network.items() if k not in own}
    return {**network, 'type': 'EncoderDecoder'}


def test_a_network_of_two_scales(command, tmp_path):
    network = tiny.two_scales(tiny.dacs())
    network.test_cfg = dict(
        mode='slide', crop_size=tiny.SIZE, stride=tiny.SIZE
    )
    run = save_run(tmp_path, network)
    dst = command(*run, tmp_path / 'student.pth')
    predicted = inference_model(
        init_model(str(dst.with_suffix('.py')), str(dst), device='cpu'),
        str(picture(tmp_path)),
    )
    assert predicted.pred_sem_seg.shape == tiny.SIZE
    written = torch.load(dst, weights_only=True)['state_dict']
    assert 'backbone.layers.0.conv.weight' in written


def test_mmsegs_inferencer_takes_the_two_files(command, trained, tmp_path):
    dst = command(*trained, tmp_path / 'student.pth')
    inferencer = MMSegInferencer(
        str(dst.with_suffix('.py')), str(dst), device='cpu'
    )
    result = inferencer(str(picture(tmp_path)))
    assert result['predictions'].shape == tiny.SIZE


def test_a_checkpoint_of_another_network_is_refused(
    command, trained, tmp_path
):
    config, path = trained
    other = tmp_path / 'other.pth'
    torch.save({'state_dict': {'backbone.x': torch.rand(1)}}, other)
    refused = pytest.raises(SystemExit, match=r'other\.pth: does not fit')
    with refused as caught:
        command(config, other, tmp_path / 'student.pth')
    assert '\n' not in str(caught.value)
    with pytest.raises(SystemExit, match=r'gone\.pth: checkpoint not found'):
        command(config, tmp_path / 'gone.pth', tmp_path / 'student.pth')
    assert path.exists() and not (tmp_path / 'student.pth').exists()


def test_only_an_earlier_export_is_replaced(command, trained, tmp_path):
    config, path = trained
    before = path.read_bytes(), config.read_bytes()
    # The run's checkpoint, its config, and a checkpoint that has no config.
    other = tmp_path / 'iter_9.pth'
    other.write_bytes(b'of a run')
    for dst, named in ((path, 'run.pth'), (other, 'iter_9.pth')):
        with pytest.raises(SystemExit, match=f'{named}: exists') as caught:
            command(config, path, dst)
        assert '\n' not in str(caught.value)
    source = path.rename(tmp_path / 'iter_6.pth')
    with pytest.raises(SystemExit, match=r'run\.py: exists'):
        command(config, source, path)
    assert (source.read_bytes(), config.read_bytes()) == before
    assert other.read_bytes() == b'of a run'
    dst = tmp_path / 'student.pth'
    dst.with_suffix('.py').write_text('print("my own")')
    with pytest.raises(SystemExit, match=r'student\.py: exists'):
        command(config, source, dst)
    dst.with_suffix('.py').unlink()
    for _ in range(2):
        command(config, source, dst)
    assert not list(tmp_path.glob('.*'))


def test_an_export_into_the_runs_folder_is_not_its_config(command, tmp_path):
    config, path = save_run(tmp_path, tiny.cag(neck=True))
    folder = path.parent / 'run'
    folder.mkdir(exist_ok=True)
    Config.fromfile(config).dump(folder / 'cag.py')
    path.rename(folder / 'iter_6.pth')
    command(config, folder / 'iter_6.pth', folder / 'student.pth')
    assert open_run(folder).cfg.model.type == 'CAGSegmentor'
    assert [p.name for p in dumped_configs(folder)] == ['cag.py']

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_cag.engine.checks.require_weights import (
    require_checkpoint,
    require_weights,
)

ROOT = Path(__file__).parents[2]


def config(checkpoint: str, load_from: str | None = None) -> Config:
    init = dict(type='Pretrained', checkpoint=checkpoint)
    kaiming = dict(type='Kaiming', layer='Conv2d')
    model = dict(backbone=dict(init_cfg=[kaiming, init]))
    return Config(dict(model=model, load_from=load_from))


def test_a_missing_file_is_named_with_its_key_and_document(tmp_path):
    path = str(tmp_path / 'net.pth')
    with pytest.raises(FileNotFoundError) as caught:
        require_weights(config(path))
    message = str(caught.value)
    assert '\n' not in message
    for part in (path, 'model.backbone.init_cfg.1', 'docs/weights.md'):
        assert part in message


@pytest.mark.parametrize('key', ['model', 'model.backbone'])
def test_weights_named_as_pretrained_are_looked_up(key):
    cfg = Config(dict(model=dict(backbone=dict(depth=18))))
    cfg.merge_from_dict({f'{key}.pretrained': 'gone.pth'})
    with pytest.raises(FileNotFoundError, match=rf'of {key}\.pretrained not'):
        require_weights(cfg)
    # Those of a Python package, addresses, and none.
    for other in ('imagenet', 'open-mmlab://resnet18_v1c', None):
        cfg.merge_from_dict({f'{key}.pretrained': other})
        require_weights(cfg)


def test_a_missing_start_is_named(tmp_path):
    there = tmp_path / 'net.pth'
    there.touch()
    with pytest.raises(FileNotFoundError, match=r'load_from=gone\.pth'):
        require_checkpoint(config(str(there), 'gone.pth'))


def test_files_and_addresses_pass(tmp_path):
    there = tmp_path / 'net.pth'
    there.touch()
    require_weights(config(str(there)))
    require_checkpoint(config(str(there), str(there)))
    require_weights(config('https://example.org/net.pth'))


def test_train_stops_in_one_line(monkeypatch):
    path = 'configs/source_only/deeplabv2_gta2cs.py'
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr('sys.argv', ['train.py', path, *option('gone.pth')])
    with pytest.raises(
        SystemExit, match=r'^error: gone\.pth: .*docs/weights\.md'
    ):
        runpy.run_path('tools/train.py', run_name='__main__')


def test_none_on_the_command_line_trains_without(monkeypatch):
    path = 'configs/source_only/deeplabv2_gta2cs.py'
    monkeypatch.chdir(ROOT)
    argv = ['train.py', path, '--cfg-options', 'model.backbone.init_cfg=None']
    monkeypatch.setattr('sys.argv', argv)
    tool = runpy.run_path('tools/train.py')
    cfg = tool['load_config'](tool['parse_args']())
    assert cfg.model.backbone.init_cfg is None
    require_weights(cfg)


def test_every_local_file_of_a_config_is_documented():
    table = (ROOT / 'docs' / 'weights.md').read_text()
    files = set()
    for path in (ROOT / 'configs').rglob('*.py'):
        words = path.read_text().replace("'", ' ').split()
        files |= {w for w in words if w.startswith('checkpoints/')}
    assert files
    for name in files:
        assert Path(name).name in table, f'{name} is not in docs/weights.md'


def option(path: str) -> list[str]:
    return ['--cfg-options', f'model.backbone.init_cfg.checkpoint={path}']

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""``tools/check_data.py``: its table, its JSON and its exit codes."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_cag.datasets.inspection.finding import KINDS
from mmseg_cag.errors import UserError
from mmseg_cag.minitown.town import draw_minitown
from tests import planted_faults
from tests.doctor import gta_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def town(tmp_path: Path) -> Path:
    draw_minitown(
        tmp_path / 'town',
        size=(32, 64),
        source=4,
        target=4,
        val=4,
        synthia=0,
        workers=1,
    )
    return tmp_path / 'town'


@pytest.fixture
def tool(monkeypatch, capsys, tmp_path):
    """Run the tool in this process; returns exit code and what it wrote."""

    def run(cfg: Config | Path, *arguments: str) -> tuple[int, str]:
        path = cfg
        if isinstance(cfg, Config):
            path = tmp_path / 'config.py'
            settings = cfg.to_dict().items()
            path.write_text(''.join(f'{k} = {v!r}\n' for k, v in settings))
        script = ROOT / 'tools/check_data.py'
        command = [str(script), str(path), '--workers', '1', *arguments]
        monkeypatch.setattr(sys, 'argv', command)
        monkeypatch.setenv('COLUMNS', '200')
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(script), run_name='__main__')
        done = capsys.readouterr()
        return caught.value.code, done.out + done.err

    return run


def test_a_good_one(town, tool, tmp_path):
    out = tmp_path / 'new' / 'out.json'
    code, text = tool(gta_config(town), '--json', str(out))
    assert code == 0
    assert 'good: 0 errors, 0 warnings' in text
    assert 'road' in text and 'closed' in text
    report = json.loads(out.read_text())
    assert report['exit_code'] == 0
    assert [part['images'] for part in report['data']] == [4, 4, 4]


def test_warnings(town, tool):
    cfg = gta_config(town)
    planted_faults.extra_label(town, cfg)
    code, text = tool(cfg)
    assert code == 1
    assert '\n0 errors, 1 warning, 1 note\n' in text
    assert 'label without image' in text
    assert KINDS['label without image'].remedy in text


def test_errors_say_where_and_what_to_do(town, tool):
    cfg = gta_config(town)
    _, where = planted_faults.truncated_image(town, cfg)
    code, text = tool(cfg)
    assert code == 2
    assert '\n1 error, 1 warning, 1 note\n' in text
    assert where in text and KINDS['truncated file'].remedy in text


def test_many_of_a_kind_are_one_row(town, tool, tmp_path):
    cfg = gta_config(town)
    for path in (town / 'gta/labels').iterdir():
        path.unlink()
    out = tmp_path / 'out.json'
    code, text = tool(cfg, '--json', str(out))
    assert code == 2 and text.count('missing label') == 1
    assert 'and 1 more, listed by --json' in text
    listed = json.loads(out.read_text())['data'][0]['findings']
    assert [f['name'] for f in listed].count('missing label') == 4


def test_settings_can_be_overridden(town, tool):
    code, text = tool(
        gta_config(town), '--cfg-options', 'model.decode_head.num_classes=5'
    )
    assert code == 2 and 'is 5, but the data have 19 classes' in text


@pytest.mark.parametrize('arguments', [(), ('--full',), ('--sample', '1')])
def test_how_much_is_decoded(town, tool, tmp_path, arguments):
    out = tmp_path / 'out.json'
    tool(gta_config(town), *arguments, '--json', str(out))
    decoded = {p['decoded'] for p in json.loads(out.read_text())['data']}
    assert decoded == {1 if '--sample' in arguments else 4}


@pytest.mark.parametrize(
    ('content', 'expectation'),
    [
        (None, 'none.py: config file not found'),
        ('x = (', "'(' was never closed"),
        ("_base_ = './gone.py'", 'gone.py'),
        ("raise RuntimeError('by its author')", 'by its author'),
    ],
)
def test_a_bad_config_is_one_line(tool, tmp_path, content, expectation):
    path = tmp_path / 'none.py'
    if content:
        path.write_text(content)
    code, text = tool(path)
    assert code == 2
    [line] = [x for x in text.splitlines() if x.startswith('error: ')]
    assert expectation in line


def test_advice_on_unknown_ids_is_that_of_the_step(town, tool):
    cfg = gta_config(town)
    planted_faults.unknown_ids(town, cfg)
    code, text = tool(cfg)
    assert code == 2 and "not of the format ids='gta'" in text
    assert KINDS['unknown ids'].remedy not in text


def test_a_cut_zip_file(town, tool):
    cfg = gta_config(town)
    (town / 'gta/labels.zip').write_bytes(b'PK')
    root = f'zip://{town}/gta'
    cfg.train_dataloader.dataset.domains.source.data_root = root
    code, text = tool(cfg)
    assert code == 2 and 'cannot be read as a zip file' in text


def test_what_the_user_can_mend_is_one_line(town, tool, monkeypatch):
    def examine(*_: object) -> None:
        raise UserError('a.zip: is no zip file')

    monkeypatch.setattr('mmseg_cag.data_check.examine.examine', examine)
    code, text = tool(gta_config(town))
    assert code == 2 and 'error: a.zip: is no zip file' in text


@pytest.mark.parametrize(
    ('arguments', 'expectation'),
    [
        (('--sample', '0'), '--sample: expected a whole number from 1'),
        (('--sample', '-3'), '--sample: expected a whole number from 1'),
        (('--workers', '0'), '--workers: expected a whole number from 1'),
        (
            ('--cfg-options', 'foo'),
            '--cfg-options foo: expected key.of.config=value',
        ),
    ],
)
def test_a_bad_option_is_one_line(tool, tmp_path, arguments, expectation):
    path = tmp_path / 'config.py'
    path.write_text('model = dict()')
    code, text = tool(path, *arguments)
    assert code == 2 and 'Traceback' not in text
    [line] = [x for x in text.splitlines() if 'error: ' in x]
    assert expectation in line


def test_a_config_that_reads_nothing(tool, tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('model = dict()')
    code, text = tool(path)
    assert code == 2 and 'names no dataset' in text


def test_every_kind_is_documented():
    text = (ROOT / 'docs/check_data.md').read_text()
    for kind in KINDS.values():
        assert f'| {kind.name} | {kind.level.name.lower()} |' in text

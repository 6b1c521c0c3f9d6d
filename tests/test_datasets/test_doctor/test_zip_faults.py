# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Faults of data that are read from zip files."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from tests import tiny
from tests.doctor import check, names_of


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Pack a small GTA5 into two zip files."""
    tiny.write_gta(tmp_path / 'plain/gta', 3)
    parts = {'01_images.zip': 'images/*', '01_labels.zip': 'labels/*'}
    tiny.zip_parts(tmp_path / 'plain/gta', tmp_path / 'gta', parts)
    return tmp_path / 'gta'


def config(root: Path) -> Config:
    dataset = {**tiny.gta(root.parent), 'data_root': f'zip://{root}'}
    return Config(dict(train_dataloader=dict(dataset=dataset)))


def test_a_cut_zip_file_is_a_finding(packed):
    archive = packed / '01_labels.zip'
    archive.write_bytes(archive.read_bytes()[:-200])
    report = check(config(packed))
    [finding] = report.all_findings
    assert finding.name == 'unreadable folder' and report.exit_code == 2
    assert f'{archive}: cannot be read as a zip file' in finding.problem


@pytest.mark.parametrize('part', ['images', 'labels'])
@pytest.mark.parametrize('place', [40, 140])  # in the header, beyond it
def test_a_damaged_member_is_a_finding(packed, part, place):
    archive = packed / f'01_{part}.zip'
    content = bytearray(archive.read_bytes())
    content[place : place + 20] = bytes(20)
    archive.write_bytes(content)
    report = check(config(packed))
    assert report.exit_code == 2
    [path] = names_of(report)['unreadable file']
    assert path == f'zip://{packed}/{part}/00001.png'


def test_paths_are_shown_as_given(packed):
    cfg = config(packed)
    cfg.val_dataloader = cfg.train_dataloader
    found = names_of(check(cfg))
    root = f'zip://{packed}'
    assert found['unexpected count'] == [f'{root}/images'] * 2
    assert found['training images evaluated'] == [f'{root}/images/00001.png']
    cfg.val_dataloader.dataset.data_prefix.img_path = 'picture'
    assert names_of(check(cfg))['missing folder'] == [f'{root}/picture'] * 2


def test_swapped_domains_are_seen(packed):
    cfg = config(packed)
    target = {**tiny.cityscapes(packed, 'val'), 'data_root': f'zip://{packed}'}
    cfg.val_dataloader = dict(dataset=target)
    assert names_of(check(cfg))['swapped domains'] == [f'zip://{packed}']

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The data that a checkpoint was trained on is known again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub
from mmseg.registry import DATASETS, HOOKS

from mmseg_cag.engine.checks.data_fingerprint_hook import SAME
from mmseg_cag.errors import UserError
from tests import tiny


@pytest.fixture(scope='module')
def towns(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('fingerprint')
    tiny.write_towns(root)
    return root


def resume_run(
    root: Path,
    then: dict | None = None,
    step: int = 2,
    cfg: dict | None = None,
) -> tuple:
    """Resume by a checkpoint; returns the next one's note, and what is known.

    Args:
        root: Folder of the data.
        then: The checkpoint's note.
        step: Where the run goes on.
        cfg: Config of the data, if not of all in the folder.
    """
    loader = SimpleNamespace(dataset=DATASETS.build(cfg or tiny.uda(root)))
    runner = SimpleNamespace(
        train_dataloader=loader,
        iter=step,
        message_hub=MessageHub('of no run'),
        _load_from='iter_2.pth',
    )
    hook = HOOKS.build(dict(type='DataFingerprintHook'))
    if then is not None:
        hook.after_load_checkpoint(runner, {'meta': {'data': then}})
    hook.before_train(runner)
    checkpoint = {'meta': {}}
    hook.before_save_checkpoint(runner, checkpoint)
    return checkpoint['meta']['data'], runner.message_hub.get_info(SAME)


def test_the_same_data_are_known_in_another_place(towns, tmp_path):
    then, known = resume_run(towns, step=0)
    assert not known
    source, target = then.values()
    assert source['files'] == 14 and target['files'] == 5
    shutil.copytree(towns, tmp_path / 'moved')
    assert resume_run(tmp_path / 'moved', then) == (then, True)


@pytest.mark.parametrize('change', ['size', 'name', 'missing'])
def test_other_data_are_refused(towns, tmp_path, change):
    then, _ = resume_run(towns, step=0)
    shutil.copytree(towns, tmp_path / 'now')
    path = tmp_path / 'now/gta/images/00003.png'
    if change == 'size':
        path.write_bytes(path.read_bytes() + b'0')
    elif change == 'name':
        for kind in ('images', 'labels'):
            folder = tmp_path / 'now/gta' / kind
            (folder / '00003.png').rename(folder / '00033.png')
    else:
        path.unlink()
    with pytest.raises(UserError) as caught:
        resume_run(tmp_path / 'now', then)
    line = str(caught.value)
    assert line.startswith('iter_2.pth: ') and 'source' in line
    assert '14 files' in line and '\n' not in line


def test_another_order_is_other_data(towns, tmp_path):
    shutil.copytree(towns, tmp_path, dirs_exist_ok=True)
    names = [f'{i:05d}' for i in range(1, 8)]
    listed = tmp_path / 'gta' / 'list.txt'
    listed.write_text('\n'.join(names))
    cfg = tiny.uda(tmp_path)
    cfg['domains']['source']['ann_file'] = str(listed)
    then, _ = resume_run(tmp_path, step=0, cfg=cfg)
    assert resume_run(tmp_path, then, cfg=cfg)[1]
    listed.write_text('\n'.join(reversed(names)))
    with pytest.raises(UserError, match='sizes and order'):
        resume_run(tmp_path, then, cfg=cfg)
    for note in then.values():
        del note['order']  # as in older checkpoints
    assert resume_run(tmp_path, then, cfg=cfg)[1]


def test_a_new_run_may_have_other_data(towns):
    other = {'train.source': dict(files=1, bytes=1, sha256='')}
    assert resume_run(towns, other, step=0)[1] is False


def test_a_name_may_be_no_utf8(towns, tmp_path):
    shutil.copytree(towns, tmp_path, dirs_exist_ok=True)
    first = next((tmp_path / 'cityscapes/leftImg8bit/train').rglob('*.png'))
    name = first.name.encode()[:4] + b'\xcb\xee' + first.name.encode()[4:]
    first.rename(first.parent / os.fsdecode(name))
    then, _ = resume_run(tmp_path)
    assert resume_run(tmp_path, then) == (then, True)

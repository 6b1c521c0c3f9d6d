# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""docs/recipes.md: its own package is written as it stands there, and run."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmseg_cag.minitown.town import draw_minitown

ROOT = Path(__file__).parents[1]
FILE = re.compile(r'^```python\n(# (\S+\.py)\n.*?)^```$', re.M | re.S)
SMALL = [
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'val_dataloader.num_workers=0',
    'val_dataloader.persistent_workers=False',
]


@pytest.fixture(scope='module')
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the files of the recipes and a small minitown."""
    root = tmp_path_factory.mktemp('project')
    draw_minitown(
        root / 'data/minitown',
        size=(32, 64),
        source=8,
        target=4,
        val=2,
        synthia=1,
    )
    shutil.copytree(ROOT / 'configs', root / 'configs')
    for text, name in FILE.findall((ROOT / 'docs/recipes.md').read_text()):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def train(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Run tools/train.py in the project, as its command line does."""

    def run(config: str, *arguments: str) -> None:
        tool = str(ROOT / 'tools/train.py')
        options = [*SMALL, *(f'start_options.{option}' for option in SMALL)]
        line = [tool, config, *arguments, '--cfg-options', *options]
        monkeypatch.setattr(sys, 'argv', [*line, *short('start_options.')])
        runpy.run_path(tool, run_name='__main__')

    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(project)
    return run


def short(prefix: str = '') -> list[str]:
    """Options by which a run has a single iteration."""
    return [f'{prefix}train_cfg.max_iters=1']


def last_of(folder: Path) -> dict:
    path = Path((folder / 'last_checkpoint').read_text())
    return torch.load(path, weights_only=False)['state_dict']


@pytest.mark.long
def test_a_backbone_of_ones_own(project, train):
    train('configs/my_methods/cag.py', '--stage-iters', '1')
    runs = project / 'work_dirs/my_methods'
    state = last_of(runs / 'cag')
    assert state['stage'] == 3
    assert state['anchor_bank.counts'].sum() > 0
    layer = 'backbone.layers.1.conv.weight'
    assert state[layer].shape == (64, 32, 3, 3)
    assert not state[layer].equal(last_of(runs / 'source_only')[layer])


@pytest.mark.long
def test_a_method_of_ones_own(project, train, capfd):
    options = ['start_from=None', 'default_hooks.logger.interval=1', *short()]
    train('configs/my_methods/entropy.py', '--cfg-options', *options)
    assert 'target.loss_entropy' in capfd.readouterr().out
    folder = project / 'work_dirs/my_methods/entropy'
    assert any(key.startswith('decode_head') for key in last_of(folder))


@pytest.mark.long
@pytest.mark.parametrize('network', ['segformer', 'hrda'])
def test_a_method_of_ones_own_with_a_teacher(project, train, capfd, network):
    path = project / 'configs/my_methods/masked_entropy.py'
    text = path.read_text()
    # Nothing else is to be changed for another network.
    changed = path.with_stem(f'masked_entropy_{network}')
    changed.write_text(text.replace('segformer_', f'{network}_'))
    options = ['start_from=None', 'default_hooks.logger.interval=1', *short()]
    options += ['model.masking.block=16']
    if network == 'hrda':
        options += ['model.backbone.detail_size=(16,32)']
    train(str(changed), '--cfg-options', *options)
    log = capfd.readouterr().out
    assert 'target.loss_entropy' in log and 'masked.loss_ce' in log
    assert ('masked.detail.loss_ce' in log) == (network == 'hrda')
    assert 'mix.loss_ce' not in log


def test_a_method_of_this_family_is_short():
    text = (ROOT / 'docs/recipes.md').read_text()
    lengths = {
        name: len(code.splitlines())
        for code, name in FILE.findall(text)
        if 'masked_entropy' in name
    }
    assert len(lengths) == 2 and sum(lengths.values()) < 80


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """A folder with a `python` that says what it is called with."""
    write_program(tmp_path / 'python', 'echo "$@"')
    return tmp_path


def write_program(path: Path, text: str) -> None:
    path.write_text(f'#!/bin/bash\n{text}\n')
    path.chmod(0o755)


def launched(fake: Path, script: str, *arguments: str, **variables: str):
    """Call a launcher of tools/; returns the words that torch's gets."""
    done = subprocess.run(
        [ROOT / 'tools' / script, *arguments, '--resume'],
        env={
            'PATH': f'{fake}:{os.environ["PATH"]}',
            'CUDA_VISIBLE_DEVICES': '',
            **variables,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    module, *words = done.stdout.split()[1:]
    assert module == 'torch.distributed.run'
    assert words[-4:] == ['CONFIG', '--launcher', 'pytorch', '--resume']
    return words[:-5]


def test_the_variables_of_several_nodes_reach_the_launcher(fake):
    words = launched(
        *(fake, 'dist_train.sh', 'CONFIG', '4'),
        **dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1', PORT='7'),
    )
    assert words == [
        '--nnodes=2',
        '--node_rank=1',
        '--master_addr=10.0.0.1',
        '--master_port=7',
        '--nproc_per_node=4',
    ]


def test_those_of_slurm_do(fake):
    # Its options begin with two dashes; then comes the command of a node.
    run = 'while [[ $1 == --* ]]; do shift; done; exec "$@"'
    write_program(fake / 'srun', run)
    write_program(fake / 'scontrol', 'echo one; echo two')
    words = launched(
        *(fake, 'slurm_train.sh', 'PARTITION', 'CONFIG', '16'),
        **dict(SLURM_NNODES='2', SLURM_NODEID='1', SLURM_JOB_ID='20003'),
        SLURM_JOB_NODELIST='[one,two]',
    )
    assert words == [
        '--nnodes=2',
        '--node_rank=1',
        '--master_addr=one',
        '--master_port=20003',
        '--nproc_per_node=8',
    ]

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

TOOLS = Path(__file__).parents[2] / 'tools' / 'model_converters'
LAYERS = ('conv1', 'conv2', 'conv3', 'conv4', 'classifier')


@pytest.fixture
def command(monkeypatch):
    def run(tool, *args):
        monkeypatch.setattr('sys.argv', [tool, *map(str, args)])
        runpy.run_path(str(TOOLS / tool), run_name='__main__')

    return run


def test_import_checkpoint_writes_what_mmengine_loads(command, tmp_path):
    # A fresh checkout has no such folder.
    source, target = tmp_path / 'source.pth', tmp_path / 'new/target.pth'
    state = {
        f'module.{layer}.{tensor}': torch.rand(2)
        for layer in LAYERS
        for tensor in ('weight', 'bias')
    }
    torch.save(state, source)
    command('import_checkpoint.py', 'fc_discriminator', source, target)
    written = torch.load(target, weights_only=True)['state_dict']
    assert len(written) == len(state)
    for key, value in written.items():
        assert torch.equal(value, state[f'module.{key}'])


def test_import_checkpoint_fails_in_one_line(command, tmp_path):
    source, target = tmp_path / 'source.pth', tmp_path / 'target.pth'
    torch.save({'conv1.weight': torch.rand(1)}, source)
    with pytest.raises(SystemExit, match=r'source\.pth: .*missing') as caught:
        command('import_checkpoint.py', 'bdl', source, target)
    assert '\n' not in str(caught.value)
    assert not target.exists()


def test_import_anchors_writes_two_tensors(command, tmp_path):
    source, target = tmp_path / 'source', tmp_path / 'new/target.pth'
    vectors = np.random.rand(3, 4)
    torch.save(
        {'objective_vectors': vectors, 'objective_num': np.arange(3.0)},
        source,
    )
    command('import_anchors.py', source, target)
    written = torch.load(target, weights_only=True)
    torch.testing.assert_close(
        written['anchors'], torch.from_numpy(vectors).float()
    )
    assert written['counts'].tolist() == [0, 1, 2]


def test_import_anchors_names_a_missing_file(command, tmp_path):
    with pytest.raises(SystemExit, match='nowhere'):
        command('import_anchors.py', tmp_path / 'nowhere', tmp_path / 'out')

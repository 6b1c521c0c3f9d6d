# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Names in a stranger's list of files lead nowhere but into the folder."""

from __future__ import annotations

import numpy as np
import pytest

from mmseg_cag.errors import UserError
from mmseg_cag.workflows.output_folder import ensure_within
from mmseg_cag.workflows.pseudo_labels.select_confident import (
    LabelFolder,
    PredictionStore,
)
from mmseg_cag.workflows.translate import ImageFolder

LABELS = np.zeros((2, 2), np.uint8)


def label(folder, name):
    LabelFolder(folder, {}).write(name, LABELS)


def predict(folder, name):
    store = PredictionStore(folder.with_name('out.part'), 0.9)
    store.write(name, LABELS, LABELS.astype(np.float32))


def translate(folder, name):
    ImageFolder(folder, {}).write(name, np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize('write', [label, predict, translate])
@pytest.mark.parametrize('name', ['../a.png', 'b/../../a.png', '{}/a.png'])
def test_what_leads_out_is_refused(tmp_path, write, name):
    with pytest.raises(UserError, match='leads to'):
        write(tmp_path / 'out', name.format(tmp_path))
    assert not list(tmp_path.rglob('*.p*'))
    write(tmp_path / 'out', 'b/a.png')
    assert len(list(tmp_path.glob('out.part/b/*'))) == 1


def test_a_symlink_that_leads_out_is_refused(tmp_path):
    (tmp_path / 'root').mkdir()
    (tmp_path / 'root/link').symlink_to(tmp_path)
    ensure_within(tmp_path / 'root/a', tmp_path / 'root')
    with pytest.raises(UserError, match=f'link/a: leads to {tmp_path}/a'):
        ensure_within(tmp_path / 'root/link/a', tmp_path / 'root')

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_cag.datasets.transforms.load_translated_image import METADATA
from mmseg_cag.engine.checks.check_data_hook import check_made_files
from mmseg_cag.workflows import translate
from mmseg_cag.workflows.translate import names_hash, translate_images
from tests import tiny

IMAGES = 7


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('towns')
    tiny.write_towns(root)
    torch.manual_seed(3)
    weights = MODELS.build(tiny.translator()).state_dict()
    torch.save({'state_dict': weights}, root / 'net.pth')
    return root


@pytest.fixture
def cfg(root: Path, tmp_path: Path) -> Config:
    return tiny.translator_run(root, tmp_path / 'work')


def read(folder: Path) -> dict[str, np.ndarray]:
    return {
        str(path.relative_to(folder)): np.array(Image.open(path))
        for path in sorted(folder.rglob('*.png'))
    }


def same(one: Path, two: Path) -> bool:
    one, two = read(one), read(two)
    return one.keys() == two.keys() and all(
        np.array_equal(one[name], two[name]) for name in one
    )


def test_each_image_is_translated_under_its_own_name(cfg, root, tmp_path):
    out = tmp_path / 'a' / 'images'
    note = translate_images(cfg, root / 'net.pth', out)
    model = MODELS.build(tiny.translator())
    model.load_state_dict(torch.load(root / 'net.pth')['state_dict'])
    originals, found = read(root / 'gta' / 'images'), read(out)
    assert found.keys() == originals.keys() and len(found) == IMAGES
    for name, image in originals.items():
        x = torch.tensor(image).permute(2, 0, 1)[None] / 127.5 - 1
        with torch.no_grad():
            made = model.generators['target'](x)[0].permute(1, 2, 0)
        made = made.numpy() * 127.5 + 127.5
        # As bytes, of which a half may be rounded either way.
        assert np.abs(found[name] - made).max() <= 0.5001, name
    assert note == json.loads((out / METADATA).read_text())
    assert note['images'] == IMAGES
    assert note['names_sha256'] == names_hash(originals)
    assert note['sizes'] == {f'{tiny.SIZE[1]}x{tiny.SIZE[0]}': IMAGES}
    assert note['provenance']['randomness'] == {'seed': 5}
    # Nothing of the work is left.
    assert list(out.parent.iterdir()) == [out]


def test_complete_images_are_reused(cfg, root, tmp_path, monkeypatch):
    out = tmp_path / 'images'
    first = translate_images(cfg, root / 'net.pth', out)
    monkeypatch.setattr(translate, 'translate_batch', None)
    # By whom the translator was taught, its weights tell.
    cfg.model.perceptual = dict(type='PerceptualLoss')
    assert translate_images(cfg, root / 'net.pth', out) == first


def test_an_interrupted_work_is_gone_on_with(cfg, root, tmp_path, monkeypatch):
    one, two = tmp_path / 'one', tmp_path / 'two'
    translate_images(cfg, root / 'net.pth', one, 1)
    work, calls = translate.translate_batch, []

    def count(model, batch):
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return work(model, batch)

    monkeypatch.setattr(translate, 'translate_batch', count)
    with pytest.raises(KeyboardInterrupt):
        translate_images(cfg, root / 'net.pth', two, 1)
    assert not two.exists()
    note = translate_images(cfg, root / 'net.pth', two, 1)
    assert len(calls) == 3 + IMAGES - 2
    assert note['images'] == IMAGES and same(one, two)


def test_images_of_several_sizes_and_folders(cfg, root, tmp_path):
    folder = tmp_path / 'images'
    for index, size in enumerate([(32, 64), (24, 40), (32, 64)]):
        image = np.full((*size, 3), 40 * index, np.uint8)
        tiny.save_image(folder / f'town{index}' / 'a.png', image)
    cfg.translate_dataloader.dataset.data_prefix.img_path = str(folder)
    out = tmp_path / 'out'
    note = translate_images(cfg, root / 'net.pth', out, 3)
    assert note['sizes'] == {'64x32': 2, '40x24': 1}
    translate_images(cfg, root / 'net.pth', tmp_path / 'single', 1)
    assert read(out).keys() == {f'town{i}/a.png' for i in range(3)}
    for name, image in read(tmp_path / 'single').items():
        difference = read(out)[name].astype(int) - image
        assert np.abs(difference).max() <= 1  # of a half, rounded


def complain(cfg, checkpoint, out) -> str:
    with pytest.raises(ValueError) as caught:
        translate_images(cfg, checkpoint, out)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_images_of_another_origin_stay_as_they_are(cfg, root, tmp_path):
    out = tmp_path / 'images'
    translate_images(cfg, root / 'net.pth', out)
    before = {path: path.read_bytes() for path in out.iterdir()}
    weights = torch.load(root / 'net.pth')
    weights['state_dict']['generators.target.layers.0.bias'] += 1
    torch.save(weights, tmp_path / 'other.pth')
    line = complain(cfg, tmp_path / 'other.pth', out)
    assert f'{out}: holds translated images of another' in line
    assert 'checkpoint_sha256 was' in line
    cfg.model.generator.residual = True
    line = complain(cfg, root / 'net.pth', out)
    assert 'model.generator.residual was None, is True' in line
    cfg.model.generator.pop('residual')
    cfg.translate_dataloader.dataset.pipeline.insert(
        1, dict(type='Resize', scale=(32, 16))
    )
    assert 'images.pipeline was' in complain(cfg, root / 'net.pth', out)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_what_cannot_be_used_is_named(cfg, root, tmp_path):
    out = tmp_path / 'images'
    assert 'x.pth: checkpoint not found' in complain(cfg, 'x.pth', out)
    (tmp_path / 'file').touch()
    assert 'file: is a file, expected a folder or none' in complain(
        cfg, root / 'net.pth', tmp_path / 'file'
    )
    cfg.model.generator.channels = 2
    assert 'net.pth: does not fit this' in complain(cfg, root / 'net.pth', out)
    cfg.translate_dataloader.dataset.data_prefix.img_path = 'none'
    assert 'translate_dataloader.dataset: no folder' in complain(
        cfg, root / 'net.pth', out
    )
    cfg.pop('translate_dataloader')
    assert 'translate_dataloader.dataset is missing' in complain(
        cfg, root / 'net.pth', out
    )
    assert not out.exists()


def test_a_data_set_reads_them_and_misses_none(cfg, root, tmp_path):
    out = tmp_path / 'images'
    translate_images(cfg, root / 'net.pth', out)
    config = tiny.gta(root)
    config['data_prefix']['img_path'] = str(out)
    config['pipeline'] = [
        dict(type='LoadTranslatedImage'),
        *config['pipeline'][1:],
    ]
    dataset = DATASETS.build(config)
    check_made_files(dataset)
    first = read(out)['00001.png']
    shown = dataset[0]['inputs'].flip(0).permute(1, 2, 0)
    assert np.array_equal(shown, first)
    (out / '00004.png').rename(out / '00008.png')
    with pytest.raises(FileNotFoundError, match='00004.png: translated image'):
        check_made_files(DATASETS.build(config))

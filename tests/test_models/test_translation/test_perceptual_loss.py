# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_cag.errors import UserError
from mmseg_cag.models.student import load_student
from mmseg_cag.models.translation.perceptual_loss import GreyLevels
from tests import tiny

PREPROCESSORS = {
    'rgb': dict(mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True),
    'bgr': dict(mean=[104.0, 117.0, 123.0], std=[1.0, 1.0, 1.0]),
    'plain': dict(),
}


@pytest.mark.parametrize('name', PREPROCESSORS)
def test_grey_levels_there_and_back(name):
    config = dict(type='SegDataPreProcessor', **PREPROCESSORS[name])
    preprocessor = MODELS.build(config)
    image = torch.randint(0, 256, (3, 4, 6), dtype=torch.uint8)
    batch = dict(inputs=[image], data_samples=[None])
    seen = preprocessor(batch)['inputs']
    levels = GreyLevels(preprocessor)
    torch.testing.assert_close(levels.of(seen), image[None].float())
    torch.testing.assert_close(levels.normalise(image[None].float()), seen)


@pytest.mark.parametrize('kind', ['stock', 'adversarial', 'clan', 'cag'])
def test_the_student_of_any_run_is_loaded(tmp_path, kind):
    makers = dict(
        stock=tiny.segmentor,
        adversarial=tiny.adversarial,
        clan=tiny.clan,
        cag=tiny.cag,
    )
    config = makers[kind]()
    model = MODELS.build(config).eval()
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'net.pth')
    Config(dict(model=config)).dump(tmp_path / 'run.py')
    images = torch.rand(1, 3, *tiny.SIZE)
    for segmentor in (config, str(tmp_path / 'run.py')):
        network = load_student(segmentor, str(tmp_path / 'net.pth'))
        assert not any(p.requires_grad for p in network.parameters())
        with torch.no_grad():
            found, expected = (
                part.encode_decode(images, [dict(img_shape=tiny.SIZE)])
                for part in (network, model)
            )
        torch.testing.assert_close(found, expected)


def test_weights_of_another_network_are_named(tmp_path):
    state = MODELS.build(tiny.segmentor()).state_dict()
    state.pop('decode_head.conv_seg.bias')
    torch.save({'state_dict': state}, tmp_path / 'net.pth')
    with pytest.raises(UserError, match='decode_head.conv_seg.bias') as caught:
        load_student(tiny.segmentor(), str(tmp_path / 'net.pth'))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('wrong', ['segmentor', 'checkpoint'])
def test_a_missing_file_is_named(tmp_path, wrong):
    files = dict(segmentor=tiny.segmentor(), checkpoint='net.pth')
    files[wrong] = str(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match=r'nowhere: .*not found'):
        load_student(**files)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mmseg.registry import DATASETS

from mmseg_cag.datasets.roles import (
    LabelledImage,
    Roles,
    indices_of,
    labelled_images,
    read_roles,
    write_roles,
)
from mmseg_cag.errors import UserError
from tests import tiny

CLASSES = ('road', 'car')


def image(number: int) -> LabelledImage:
    return LabelledImage(f'images/{number}.png', f'i{number}', f'l{number}')


def roles(train=(0, 1), choose=(2,), certify=(3, 4)) -> Roles:
    numbers = dict(train=train, choose=choose, certify=certify)
    images = {role: [image(n) for n in own] for role, own in numbers.items()}
    return Roles(CLASSES, images)


@pytest.fixture(scope='module')
def target(tmp_path_factory):
    root = tmp_path_factory.mktemp('towns')
    tiny.write_towns(root)
    return DATASETS.build(tiny.cityscapes(root, 'train'))


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / 'roles.json'
    write_roles(path, roles())
    found = read_roles(path)
    assert found.classes == CLASSES
    assert found.require('certify') == [image(3), image(4)]
    before = path.read_bytes()
    with pytest.raises(UserError, match='already exists'):
        write_roles(path, roles(train=()))
    assert path.read_bytes() == before


def test_roles_that_overlap(tmp_path):
    with pytest.raises(UserError, match='1.png of choose is .*1.png of train'):
        roles(choose=(2, 1))
    with pytest.raises(UserError, match='expected each image once'):
        roles(certify=(3, 3))
    copy = replace(image(0), image='images/copy.png')
    with pytest.raises(UserError, match='copy.png of certify is .*0.png of'):
        Roles(CLASSES, dict(train=[image(0)], certify=[copy]))


def test_an_empty_role():
    with pytest.raises(UserError, match='no image has the role certify'):
        roles(certify=()).require('certify')


def test_a_class_list_that_differs():
    roles().require_classes(['road', 'car'], 'val_dataloader')
    for other in (['car', 'road'], ['road']):
        with pytest.raises(UserError, match='expected .* of val_dataloader'):
            roles().require_classes(other, 'val_dataloader')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(format='other'), 'expected "format"'),
        (dict(classes='road'), 'expected classes'),
        (dict(test=[]), 'has the role test, expected train, choose'),
        (
            dict(train=[dict(image='a.png')]),
            'train: .* expected strings',
        ),
        (dict(choose=['a.png']), 'choose: holds a.png, expected strings'),
        (dict(choose='a.png'), 'choose: expected a list'),
        (dict(certify=None), 'certify: expected a list'),
        (dict(group='(drive'), 'group is .drive, expected a regular exp'),
        (dict(group=[]), 'group is .., expected a regular expression'),
    ],
)
def test_a_file_that_is_no_file_of_roles(tmp_path, change, message):
    path = tmp_path / 'roles.json'
    write_roles(path, roles())
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=message) as caught:
        read_roles(path)
    assert str(path) in str(caught.value)


def test_images_of_a_group_are_held_with_it(tmp_path):
    drives = {
        role: [replace(image(n), image=f'{name}/{n}.png', group=name)]
        for n, (role, name) in enumerate(
            dict(train='drive_2', choose='drive_1', certify='').items()
        )
    }
    path = tmp_path / 'roles.json'
    write_roles(path, Roles(CLASSES, drives, group='drive_[0-9]+'))
    is_held = read_roles(path).holds('choose', 'certify')
    assert is_held('drive_1/8.png') and is_held('/2.png')
    for name in ('drive_2/8.png', 'drive_12/8.png', '/3.png'):
        assert not is_held(name)
    # Nobody knows the groups of other images without their expression.
    content = json.loads(path.read_text())
    content.pop('group')
    path.write_text(json.dumps(content))
    assert not read_roles(path).holds('certify')('drive_1/8.png')
    with pytest.raises(UserError, match='has the group drive_1, expected "gr'):
        read_roles(path).holds('choose')


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='expected a roles file'):
        read_roles(tmp_path / 'none.json')


def test_images_are_found_by_name_and_known_by_content(target, tmp_path):
    images = labelled_images(
        target, [3, 1], group=lambda name: name.split('/')[2]
    )
    assert images[0].image.startswith('leftImg8bit/train/bern/')
    assert images[0].group == 'bern'
    assert indices_of(target, images, 'few') == [3, 1]
    stranger = replace(images[0], image='leftImg8bit/train/none.png')
    with pytest.raises(UserError, match='not among the images of few'):
        indices_of(target, [stranger], 'few')
    for key in ('image_sha256', 'label_sha256'):
        with pytest.raises(UserError, match='has changed since'):
            indices_of(target, [replace(images[0], **{key: '0'})], 'few')
    other = replace(images[0], label_sha256='0')
    assert indices_of(target, [other], 'target', labelled=False) == [3]


def test_a_label_that_is_missing(target):
    label = Path(target.get_data_info(0)['seg_map_path'])
    content = label.read_bytes()
    label.unlink()
    try:
        with pytest.raises(FileNotFoundError, match=f'{label.name}.*not f'):
            labelled_images(target, [0])
    finally:
        label.write_bytes(content)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import ConfigDict
from mmseg.registry import DATASETS

from mmseg_cag.data_check.collect import collect
from mmseg_cag.data_check.consistency import check_overlap
from mmseg_cag.datasets.roles import (
    Roles,
    labelled_images,
    read_roles,
    write_roles,
)
from mmseg_cag.engine.checks.check_data_hook import (
    list_readings,
    stop_at_faults,
)
from mmseg_cag.errors import UserError
from mmseg_cag.workflows.pseudo_labels.target_images import target_images
from tests import tiny
from tests.doctor import check, gta_config, names_of

TOOL = Path(__file__).parents[2] / 'tools/assign_roles.py'
ORDER = dict(train=[3, 0], choose=[4], certify=[1])


@pytest.fixture(scope='module')
def towns(tmp_path_factory):
    root = tmp_path_factory.mktemp('towns')
    tiny.write_towns(root)
    dataset = DATASETS.build(tiny.cityscapes(root, 'train'))
    images = {
        role: labelled_images(dataset, own) for role, own in ORDER.items()
    }
    classes = tuple(dataset.metainfo['classes'])
    write_roles(root / 'roles.json', Roles(classes, images))
    return root


def subset(towns, labelled=True, **settings) -> dict:
    return dict(
        type='RoleSubset',
        roles=str(towns / 'roles.json'),
        dataset=tiny.cityscapes(towns, 'train', labelled),
        **settings,
    )


def numbers(dataset) -> list[int]:
    """The numbers of the images in a data set."""
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    return [int(Path(path).name.split('_')[1]) for path in paths]


def test_a_role_has_its_images_in_the_order_of_the_file(towns):
    for role, own in ORDER.items():
        dataset = DATASETS.build(subset(towns, role=role))
        assert numbers(dataset) == own
        assert 'gt_sem_seg' in dataset[0]['data_samples']
    one = DATASETS.build(subset(towns, role='train', first=1))
    assert numbers(one) == [3]


def test_the_unlabelled_target_has_none_of_them(towns):
    assert numbers(DATASETS.build(subset(towns, labelled=False))) == [2]
    most = subset(towns, labelled=False, without=['certify', 'choose'])
    assert numbers(DATASETS.build(most)) == [0, 2, 3]
    # Images of other folders are none of these.
    other = subset(towns)
    other['dataset'] = tiny.cityscapes(towns, 'val')
    assert numbers(DATASETS.build(other)) == [0, 1]


def test_the_doctor_sees_that_the_roles_are_apart(towns):
    source = dict(
        type='DomainPool',
        members=dict(gta=tiny.gta(towns), few=subset(towns, role='train')),
    )
    domains = dict(source=source, target=subset(towns, labelled=False))
    choose = dict(dataset=subset(towns, role='choose'))
    cfg = ConfigDict(
        train_dataloader=dict(
            dataset=dict(type='UDADataset', domains=domains)
        ),
        val_dataloader=choose,
    )
    readings, findings = collect(cfg)
    assert not findings
    assert [len(r.samples) for r in readings] == [7, 2, 1, 1, 1]
    assert [r.key for r in readings][-1] == 'roles.certify'
    assert not [*check_overlap(readings)]
    cfg.train_dataloader.dataset.domains.target.without = ['certify']
    names = [finding.name for finding in check_overlap(collect(cfg)[0])]
    assert names == ['training images evaluated']


def pool_of(towns, **target) -> dict:
    members = dict(gta=tiny.gta(towns), few=subset(towns, role='train'))
    source = dict(type='DomainPool', members=members)
    target = subset(towns, labelled=False, **target)
    return dict(type='UDADataset', domains=dict(source=source, target=target))


def test_labelled_images_may_stay_in_the_unlabelled_target(towns, tmp_path):
    def stop(cfg: dict) -> None:
        readings = list_readings({'train_dataloader': DATASETS.build(cfg)})
        stop_at_faults(readings, workers=1)

    cfg = pool_of(towns, without=['choose', 'certify'])
    assert numbers(DATASETS.build(cfg['domains']['target'])) == [0, 2, 3]
    stop(cfg)
    # By another file they may be images of any role.
    other = shutil.copy(towns / 'roles.json', tmp_path)
    cfg['domains']['target']['roles'] = str(other)
    with pytest.raises(UserError, match='like 2 images in total'):
        stop(cfg)
    # And no role but `train` is for training.
    cfg = pool_of(towns, without=['certify'])
    cfg['domains']['source']['members']['few']['role'] = 'choose'
    with pytest.raises(UserError, match='like 1 images in total'):
        stop(cfg)


def test_the_doctor_checks_labels_that_only_later_commands_read(tmp_path):
    tiny.write_towns(tmp_path)
    dataset = DATASETS.build(tiny.cityscapes(tmp_path, 'train'))
    images = {k: labelled_images(dataset, own) for k, own in ORDER.items()}
    classes = tuple(dataset.metainfo['classes'])
    roles = tmp_path / 'roles.json'
    cfg = gta_config(tmp_path)
    cfg.roles = str(roles)
    cfg.target_labelled = tiny.cityscapes(tmp_path, 'train')
    cfg.default_hooks.do_no_harm = dict(
        type='DoNoHarmHook', labelled=tiny.cityscapes(tmp_path, 'extra')
    )
    for kind in ('leftImg8bit', 'gtFine'):
        folder = tmp_path / 'cityscapes' / kind
        shutil.copytree(folder / 'val', folder / 'extra')
    names = names_of(check(cfg))
    assert names['broken config'] == ['roles.certify']  # no such file
    [one, *_] = sorted(tmp_path.glob('cityscapes/gtFine/extra/*/*'))
    one.write_bytes(one.read_bytes()[:-9])
    label = dataset.get_data_info(ORDER['certify'][0])['seg_map_path']
    Path(label).write_bytes(Path(label).read_bytes()[:-9])
    images = {k: labelled_images(dataset, own) for k, own in ORDER.items()}
    write_roles(roles, Roles(classes, images))
    names = names_of(check(cfg))
    assert 'broken config' not in names
    assert {*names['truncated file']} == {str(one), label}


def test_pseudo_labels_are_made_of_the_others(towns):
    cfg = ConfigDict(
        train_dataloader=dict(
            dataset=dict(
                type='UDADataset',
                domains=dict(target=subset(towns, labelled=False)),
            )
        ),
        test_pipeline=tiny.pipeline(None),
    )
    assert numbers(DATASETS.build(target_images(cfg))) == [2]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(role='test'), "role='test', expected one of"),
        (dict(without=['test']), "role='test', expected one of"),
        (dict(role='train', first=3), 'train has 2 images, expected first=3'),
    ],
)
def test_settings_that_cannot_be(towns, settings, message):
    with pytest.raises(UserError, match=message):
        DATASETS.build(subset(towns, **settings))


def test_a_target_in_several_parts_is_refused(towns):
    plain = tiny.cityscapes(towns, 'train')
    members = dict(one=plain, other=tiny.cityscapes(towns, 'val'))
    for part in (
        dict(type='ConcatDataset', datasets=[*members.values()]),
        dict(type='RepeatDataset', dataset=plain, times=2),
        dict(type='DomainPool', members=members),
        subset(towns),
    ):
        for role in (None, 'train'):
            whole = {**subset(towns, role=role), 'dataset': part}
            with pytest.raises(UserError, match='expected a single') as caught:
                DATASETS.build(whole)
            assert str(caught.value).startswith(
                f'RoleSubset: dataset is a {part["type"]}, '
            )


def test_roles_that_do_not_fit_the_data(towns, tmp_path):
    roles = read_roles(towns / 'roles.json')

    def refused(message: str, changed: dict, role: str) -> None:
        path = tmp_path / f'{len(list(tmp_path.iterdir()))}.json'
        content = json.loads((towns / 'roles.json').read_text())
        path.write_text(json.dumps({**content, **changed}))
        cfg = {**subset(towns, role=role), 'roles': str(path)}
        with pytest.raises(UserError, match=message) as caught:
            DATASETS.build(cfg)
        assert '\n' not in str(caught.value)

    refused('labels of the classes .*, expected', dict(classes=['a']), 'train')
    refused('no image has the role certify', dict(certify=[]), 'certify')
    stranger = dict(image='a.png', image_sha256='1', label_sha256='2')
    refused('a.png: has a role but is not', dict(choose=[stranger]), 'choose')
    taken = vars(roles.of('train')[0])
    refused('expected each image once', dict(certify=[taken]), 'certify')


def test_a_copy_in_another_folder_has_the_role_too(towns, tmp_path):
    shutil.copytree(towns, tmp_path / 'towns')
    folder = tmp_path / 'towns/cityscapes/leftImg8bit/train'
    labelled = read_roles(towns / 'roles.json').of('certify')[0]
    copied = folder / 'copies' / Path(labelled.image).name
    copied.parent.mkdir()
    shutil.copy(towns / 'cityscapes' / labelled.image, copied)
    # Of the same name, but another image.
    other = folder / 'others' / copied.name
    other.parent.mkdir()
    shutil.copy(next(folder.rglob('*_000002_*.png')), other)
    (folder.parents[1] / labelled.image).unlink()
    built = DATASETS.build(subset(tmp_path / 'towns', labelled=False))
    paths = [built.get_data_info(i)['img_path'] for i in range(len(built))]
    assert str(copied) not in paths and str(other) in paths


def test_no_image_without_a_role(towns, tmp_path):
    dataset = DATASETS.build(tiny.cityscapes(towns, 'train'))
    images = dict(train=labelled_images(dataset, range(5)))
    classes = tuple(dataset.metainfo['classes'])
    write_roles(tmp_path / 'all.json', Roles(classes, images))
    cfg = {**subset(towns), 'roles': str(tmp_path / 'all.json')}
    with pytest.raises(UserError, match='all 5 images of the target have a'):
        DATASETS.build(cfg)


@pytest.fixture
def assign(towns, tmp_path, monkeypatch):
    """Run the tool; returns the roles that it writes."""
    config = tmp_path / 'config.py'
    target = tiny.cityscapes(towns, 'train')
    config.write_text(f'custom_imports = None\ntarget_labelled = {target!r}\n')

    def tool(*words: object, out: str = 'roles.json') -> Roles:
        arguments = [TOOL, config, tmp_path / out, *words]
        monkeypatch.setattr('sys.argv', list(map(str, arguments)))
        runpy.run_path(str(TOOL), run_name='__main__')
        return read_roles(tmp_path / out)

    return tool


def names(roles: Roles, role: str) -> list[str]:
    return [Path(image.image).name for image in roles.of(role)]


def test_roles_are_drawn(assign):
    few = assign('--train', 2, '--certify', 1, '--group', r'_\d{6}_')
    assert [len(few.of(role)) for role in few.images] == [2, 0, 1]
    assert few.of('train')[0].group.startswith('_00000')
    again = assign('--train', 1, '--certify', 1, out='other.json')
    assert names(again, 'train') == names(few, 'train')[:1]
    other = assign('--train', 5, '--seed', 1, out='seed.json')
    assert names(other, 'train')[:2] != names(few, 'train')
    with pytest.raises(SystemExit, match='already exists'):
        assign('--train', 1)


def test_more_training_images_come_from_no_other_role(assign):
    options = ('--choose', 1, '--certify', 1)
    few = assign('--train', 1, *options)
    more = assign('--train', 3, *options, out='more.json')
    for role in ('choose', 'certify'):
        assert names(more, role) == names(few, role)
    assert names(more, 'train')[:1] == names(few, 'train')
    with pytest.raises(SystemExit):
        assign('--certify', -1, out='none.json')


def test_roles_of_a_list(assign, tmp_path):
    wanted = [f'bern/bern_00000{i}_000019_leftImg8bit.png' for i in (4, 2)]
    (tmp_path / 'images.txt').write_text('\n'.join(wanted) + '\n')
    given = ('--images', tmp_path / 'images.txt')
    found = assign(*given, '--choose', 3)
    assert names(found, 'train') == [Path(name).name for name in wanted]
    with pytest.raises(SystemExit, match='--choose 4: 3 labelled images are'):
        assign(*given, '--choose', 4, out='other.json')
    with pytest.raises(SystemExit, match='--train 3: 2 images are listed'):
        assign(*given, '--train', 3, out='other.json')
    for text, message in (
        ('none.png\n', 'none.png matches 0 target images'),
        ('\n', 'images.txt: is empty, expected an image per line'),
    ):
        (tmp_path / 'images.txt').write_text(text)
        with pytest.raises(SystemExit, match=message):
            assign(*given, '--train', 1, out='other.json')
    (tmp_path / 'images.txt').unlink()
    with pytest.raises(SystemExit, match='images.txt: not found'):
        assign(*given, '--train', 1, out='other.json')


def test_the_other_roles_get_no_image_of_a_list(draw):
    groups = [str(number) for number in range(100)]
    wanted = np.random.default_rng(3).permutation(100)[:40].tolist()
    few, more = (
        draw(groups, range(100), roles(train), wanted, 0) for train in (5, 30)
    )
    for role in ('choose', 'certify'):
        assert few[role] == more[role]
        assert not {*few[role]} & {*wanted}
    assert few['train'] == wanted[:5] and more['train'] == wanted[:30]


def test_a_group_has_one_role(assign):
    with pytest.raises(SystemExit, match='--train 1: 0 labelled images are'):
        assign('--train', 1, '--choose', 1, '--group', 'bern')


@pytest.fixture(scope='module')
def draw():
    """The tool's draw, from any groups."""
    return runpy.run_path(str(TOOL))['draw']


def roles(train: int) -> dict[str, int]:
    return dict(train=train, choose=20, certify=40)


def test_a_role_takes_whole_drives_before_the_next(draw):
    drives = [f'drive {number // 30}' for number in range(600)]
    few, more = (
        draw(drives, range(600), roles(train), [], 0) for train in (10, 100)
    )
    opened = [{drives[i] for i in own} for own in more.values()]
    assert [*map(len, more.values())] == [100, 20, 40]
    # As few as can be, in any order, and none with two roles.
    assert [*map(len, opened)] == [4, 1, 2] and len(set.union(*opened)) == 7
    assert more['train'][:10] == few['train'] != sorted(few['train'])
    assert [more[role] for role in ORDER][1:] == [*few.values()][1:]
    assert draw(drives, range(600), roles(10), [], 1) != few


def test_only_images_with_a_label_get_a_role(assign, towns, tmp_path):
    copy = tmp_path / 'towns'
    shutil.copytree(towns / 'cityscapes', copy / 'cityscapes')
    target = tiny.cityscapes(copy, 'train')
    (tmp_path / 'config.py').write_text(f'target_labelled = {target!r}')
    labels = copy / 'cityscapes/gtFine/train'
    for number in (0, 1, 3):
        next(labels.rglob(f'*_00000{number}_*')).unlink()
    found = assign('--train', 1, '--certify', 1)
    own = [*names(found, 'train'), *names(found, 'certify')]
    assert sorted(name.split('_')[1] for name in own) == ['000002', '000004']
    with pytest.raises(SystemExit, match='--train 3: 2 labelled images are'):
        assign('--train', 3, out='other.json')


@pytest.fixture
def growing(towns, tmp_path, assign):
    """A copy of the towns, whose images 0, 1 and 3 have labels at first.

    Returns:
        What gives the others theirs.
    """
    copy = tmp_path / 'towns'
    shutil.copytree(towns / 'cityscapes', copy / 'cityscapes')
    target = tiny.cityscapes(copy, 'train')
    (tmp_path / 'config.py').write_text(f'target_labelled = {target!r}')
    labels = copy / 'cityscapes/gtFine/train'
    paths = [next(labels.rglob(f'*_00000{n}_*')) for n in (2, 4)]
    contents = [(path, path.read_bytes()) for path in paths]
    for path in paths:
        path.unlink()
    return lambda: [path.write_bytes(content) for path, content in contents]


def test_images_keep_their_roles_when_labels_are_added(
    assign, growing, tmp_path
):
    counts = [('--train', 1), ('--choose', 1), ('--certify', 1)]
    old = assign(*sum(counts, ()))
    before = (tmp_path / 'roles.json').read_text()
    growing()
    anew = assign(*sum(counts, ()), out='anew.json')
    assert names(anew, 'certify') != names(old, 'certify')
    keep = ('--keep', tmp_path / 'roles.json')
    new = assign(*keep, '--train', 3, *sum(counts[1:], ()), out='new.json')
    assert names(new, 'train')[:1] == names(old, 'train')
    for role in ('choose', 'certify'):
        assert names(new, role) == names(old, role)
    assert (tmp_path / 'roles.json').read_text() == before
    # The new ones of a list, too.
    place = 'bern/bern_00000{}_000019_leftImg8bit.png'
    (tmp_path / 'list.txt').write_text(place.format(4) + '\n')
    listed = ('--images', tmp_path / 'list.txt', *keep, *sum(counts[1:], ()))
    new = assign(*listed, out='listed.json')
    assert names(new, 'train') == [
        *names(old, 'train'),
        Path(place.format(4)).name,
    ]
    assert names(new, 'certify') == names(old, 'certify')
    taken = old.of('certify')[0].image
    (tmp_path / 'list.txt').write_text(taken.partition('train/')[2] + '\n')
    with pytest.raises(SystemExit, match='or its group, has the role certify'):
        assign(*listed, out='wrong.json')


def test_a_new_image_of_a_kept_group_has_its_role(assign, growing, tmp_path):
    drives = ('--group', 'bern(?=_00000[0-2])|_')  # 0 to 2, 3 and 4
    old = assign('--train', 1, '--certify', 1, *drives)
    growing()
    keep = ('--keep', tmp_path / 'roles.json', *drives)
    new = assign(*keep, '--train', 2, '--certify', 3, out='new.json')
    for role, numbers in (('train', '34'), ('certify', '012')):
        found = [name.split('_')[1][-1] for name in names(new, role)]
        assert sorted(found) == [*numbers]
        assert names(new, role)[:1] == names(old, role)
    with pytest.raises(SystemExit, match='--train 3: 2 labelled images are'):
        assign(*keep, '--train', 3, '--certify', 1, out='more.json')


def test_roles_that_cannot_be_kept(assign, tmp_path):
    assign('--train', 2, '--certify', 1, '--group', r'_\d{6}_')
    path = tmp_path / 'roles.json'
    keep = ('--keep', path)
    counts = ('--train', 2, '--certify', 1)

    def refused(message: str, *words: object) -> None:
        with pytest.raises(SystemExit, match=message) as caught:
            assign(*keep, *words, out='new.json')
        assert '\n' not in str(caught.value)
        assert not (tmp_path / 'new.json').exists()

    same = ('--group', r'_\d{6}_')
    refused('--group none: expected _.*_, that of', *counts)
    fewer = ('--train', 1, '--certify', 1)
    refused('--train 1: 2 images keep that role, expec', *fewer, *same)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, 'classes': ['road']}))
    refused("labels of the classes \\['road'\\]", *counts, *same)
    stranger = dict(image='a.png', image_sha256='1', label_sha256='2')
    path.write_text(json.dumps({**content, 'choose': [stranger]}))
    refused('a.png: has a role but is not', *counts, *same, '--choose', 1)
    path.unlink()
    refused('roles.json: not found, expected a roles file', *counts)


def test_a_group_that_is_not_in_each_name(assign, capsys):
    with pytest.raises(SystemExit, match='00004_.*--group .* does not match'):
        assign('--train', 1, '--group', r'_00000[0-3]_')
    found = assign('--train', 2, '--certify', 1, '--group', r'_\d+_')
    assert found.group == r'_\d+_'
    told = '2 to train (groups: 2), 0 to choose (groups: 0), 1 to certify (gr'
    assert told in capsys.readouterr().out


def test_a_group_that_is_no_expression(assign, capsys):
    with pytest.raises(SystemExit):
        assign('--train', 1, '--group', '(drive')
    assert 'expected a regular expression' in capsys.readouterr().err


def test_labels_of_the_target_in_several_parts(assign, towns, tmp_path):
    parts = [tiny.cityscapes(towns, split) for split in ('train', 'val')]
    several = dict(type='ConcatDataset', datasets=parts)
    (tmp_path / 'config.py').write_text(f'target_labelled = {several!r}')
    with pytest.raises(SystemExit, match='target_labelled: is a ConcatDatas'):
        assign('--train', 1)


def test_a_config_without_labels_of_the_target(assign):
    with pytest.raises(SystemExit, match='labelled: not in the config'):
        assign('--train', 1, '--dataset', 'labelled')

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""tools/select_images.py on a tiny town, in this process."""

from __future__ import annotations

import json
import math
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from PIL import Image
from selection.forms import (
    _coco_mask,
    distinct,
    read_labels,
    write_coco,
    write_cvat,
    write_png,
)
from selection.look import Looks
from selection.rank import anchor_scores, choose, k_centres

from mmseg_cag.datasets.roles import Roles, labelled_images, write_roles
from mmseg_cag.errors import UserError
from tests import finished, tiny

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/select_images.py'
CLASSES = ('road', 'car', 'sky')
PALETTE = ((128, 64, 128), (0, 0, 142), (0, 0, 142))


@pytest.fixture
def labels(seeded) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    drawn = rng.choice([0, 1, 2, 255], (2, 12, 20)).astype(np.uint8)
    drawn[1] = 1  # a mask that begins with ones
    return {'bern/a.png': drawn[0], 'bern/b.png': drawn[1]}


def sizes_of(labels: dict) -> dict:
    return {name: label.shape for name, label in labels.items()}


@pytest.fixture(params=['png', 'cvat', 'coco'])
def written(request, labels, tmp_path) -> Path:
    """The label maps in one of the three forms."""
    if request.param == 'png':
        write_png(tmp_path / 'png', labels, CLASSES, PALETTE)
        return tmp_path / 'png'
    if request.param == 'cvat':
        write_cvat(tmp_path / 'a.xml', labels, CLASSES, PALETTE)
        return tmp_path / 'a.xml'
    pytest.importorskip('pycocotools')
    write_coco(tmp_path / 'a.json', labels, CLASSES)
    return tmp_path / 'a.json'


def test_labels_come_back_by_the_names_of_classes(written, labels):
    order = ('sky', 'road', 'car', 'tree')  # another one, and one more
    found = read_labels(written, order, sizes_of(labels))
    ids = np.full(256, 255, np.uint8)
    ids[:3] = [order.index(name) for name in CLASSES]
    assert found.keys() == labels.keys()
    for name, label in labels.items():
        np.testing.assert_array_equal(found[name], ids[label])


def test_a_class_may_be_called_background(labels, tmp_path):
    classes = ('background', 'crack', 'sky')
    write_png(tmp_path / 'png', labels, classes, PALETTE)
    found = read_labels(tmp_path / 'png', classes, sizes_of(labels))
    for name, label in labels.items():
        np.testing.assert_array_equal(found[name], label)
    # A line that CVAT adds, for pixels without a label.
    table = tmp_path / 'png/labelmap.txt'
    table.write_text(f'background:0,0,0::\n{table.read_text()}')
    found = read_labels(tmp_path / 'png', classes, sizes_of(labels))
    np.testing.assert_array_equal(found[name], label)


def test_labels_of_unknown_classes_images_and_sizes_are_refused(
    written, labels
):
    with pytest.raises(UserError, match="labels of 'sky', expected one of"):
        read_labels(written, ('road', 'car'), sizes_of(labels))
    smaller = {name: (12, 19) for name in labels}
    with pytest.raises(UserError, match='a label of 20x12 pixels of bern/'):
        read_labels(written, CLASSES, smaller)
    with pytest.raises(UserError, match='which is no target image'):
        read_labels(written, CLASSES, {'bern/a.png': (12, 20)})


MASK_BEFORE = (
    '<a><image name="x" width="1" height="1"><mask label="car" rle="0, 1" '
    'left="-1" top="0" width="1" height="1"/></image></a>'
)
MASK_BEYOND = (
    '<a><image name="x" width="1" height="1"><mask label="car" rle="0, 6" '
    'left="0" top="0" width="3" height="2"/></image></a>'
)


def test_what_is_no_label_file_is_said_in_one_line(tmp_path):
    for name, text, message in (
        ('a.xml', '<annotations', "not of CVAT's form"),
        ('b.xml', '<a><image name="x"/></a>', "not of CVAT's form"),
        ('c.xml', '<a/>', 'has no labelled image'),
        ('d.txt', '', 'expected a folder of PNGs'),
        ('e.xml', MASK_BEYOND, "not of CVAT's form"),
        ('f.xml', MASK_BEFORE, 'a mask beyond the image'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=message) as caught:
            read_labels(tmp_path / name, CLASSES, {'x': (1, 1)})
        assert '\n' not in str(caught.value)
    with pytest.raises(UserError, match='labelmap.txt: not found'):
        read_labels(tmp_path, CLASSES, {})
    (tmp_path / 'labelmap.txt').write_text('car:1,2,3::')
    (tmp_path / 'SegmentationClass').mkdir()
    (tmp_path / 'SegmentationClass/x.png').write_text('broken')
    with pytest.raises(UserError, match='x.png: is no PNG'):
        read_labels(tmp_path, CLASSES, {'x': (1, 1)})
    with pytest.raises(UserError, match='expected corrected labels'):
        read_labels(tmp_path / 'none.xml', CLASSES, {})


def test_polygons_that_a_person_drew_are_read(tmp_path):
    pytest.importorskip('pycocotools')
    shape = '<polygon label="car" points="2.0,1.0;7.0,1.0;7.0,4.0;2.0,4.0"/>'
    # A tag is about the whole image.
    path = write_cvat_image(tmp_path, f'<tag label="night"/>{shape}')
    sizes = {'x': (8, 10)}
    [label] = read_labels(path, CLASSES, sizes).values()
    assert (label[1:4, 2:7] == 1).all() and (label == 1).sum() == 15
    path = write_coco_image(tmp_path, [[2, 1, 7, 1, 7, 4, 2, 4]])
    [same] = read_labels(path, CLASSES, sizes).values()
    np.testing.assert_array_equal(label, same)


def write_cvat_image(folder: Path, shapes: str) -> Path:
    """Write an image of 10x8 pixels in CVAT's format."""
    path = folder / 'one.xml'
    image = f'<image name="x" width="10" height="8">{shapes}</image>'
    path.write_text(f'<annotations>{image}</annotations>')
    return path


def write_coco_image(folder: Path, segmentation: object) -> Path:
    """Write an image of 10x8 pixels in COCO's format."""
    path = folder / 'one.json'
    one = dict(image_id=1, category_id=1, segmentation=segmentation)
    content = dict(
        images=[dict(id=1, file_name='x', height=8, width=10)],
        annotations=[one],
        categories=[dict(id=1, name='car')],
    )
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize('kind', ['box', 'ellipse', 'polyline', 'skeleton'])
def test_other_shapes_are_refused(kind, tmp_path):
    path = write_cvat_image(tmp_path, f'<{kind} label="car"/>')
    with pytest.raises(UserError, match=f'one.xml: x has a {kind}, expected'):
        read_labels(path, CLASSES, {'x': (8, 10)})


FULL = dict(size=[8, 10], counts=[0, 80])


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        ([], 'no mask and no polygon'),
        ([[]], 'fewer than three points'),
        ([[1, 2]], 'fewer than three points'),
        ([[1, 2, 3, 4]], 'fewer than three points'),
        ([[1, 2, 3, 4, 5, 6, 7]], 'fewer than three points'),
        ([[1, 2, 3, 4, 5, math.nan]], 'far beyond the image'),
        ([[1, 2, 3, 4, 5, 1e9]], 'far beyond the image'),
        ([[1, 2, 3, 4, 5, 'a']], 'could not convert'),
        ({**FULL, 'counts': [10, 20]}, 'run lengths of 30 pixels, expected'),
        ({**FULL, 'counts': [0, 90, -10]}, 'run lengths of 80 pixels, exp'),
        ({**FULL, 'counts': [0, 10**12]}, 'run lengths of 1000000000000 p'),
        ({**FULL, 'counts': '1'}, 'run lengths of 1 pixels, expected 80'),
        ({**FULL, 'counts': 'zzz'}, 'run lengths of 30 pixels, expected 80'),
        ({**FULL, 'counts': '`'}, 'no run lengths'),
        ({**FULL, 'counts': []}, 'no run lengths'),
        ({**FULL, 'size': [10, 8]}, 'a mask of size'),
        ('0 80', "not of COCO's form"),
    ],
)
def test_broken_segmentations_are_said_in_one_line(
    segmentation, message, tmp_path
):
    path = write_coco_image(tmp_path, segmentation)
    with pytest.raises(UserError, match=message) as caught:
        read_labels(path, CLASSES, {'x': (8, 10)})
    assert str(caught.value).startswith(f"{path}: not of COCO's form")
    assert '\n' not in str(caught.value)


def test_a_mask_of_cvat_without_run_lengths_is_refused(tmp_path):
    box = 'left="0" top="0" width="2" height="2"'
    path = write_cvat_image(tmp_path, f'<mask label="car" rle="" {box}/>')
    with pytest.raises(UserError, match="not of CVAT's form.*no run lengths"):
        read_labels(path, CLASSES, {'x': (8, 10)})


def test_run_lengths_are_those_of_the_codec(seeded):
    codec = pytest.importorskip('pycocotools.mask')
    rng = np.random.default_rng(0)
    for share in (0, 0.001, 0.5, 1):
        mask = rng.uniform(size=(90, 700)) < share
        packed = codec.encode(np.asfortranarray(mask, np.uint8))
        packed['counts'] = packed['counts'].decode()
        np.testing.assert_array_equal(_coco_mask(packed, mask.shape), mask)
    plain = dict(size=[2, 3], counts=[1, 2, 3])
    expected = [[0, 1, 0], [1, 0, 0]]
    np.testing.assert_array_equal(_coco_mask(plain, (2, 3)), expected)


def test_cvat_finds_the_pngs_by_a_list(labels, tmp_path):
    write_png(tmp_path / 'png', labels, CLASSES, PALETTE)
    listed = tmp_path / 'png/ImageSets/Segmentation/default.txt'
    names = listed.read_text().splitlines()
    assert names == ['bern/a', 'bern/b']
    masks = tmp_path / 'png/SegmentationClass'
    assert all((masks / f'{name}.png').is_file() for name in names)


def test_colours_are_told_apart():
    first, second, third = distinct([(0, 0, 0), (9, 9, 9), (9, 9, 9)])
    assert second == (9, 9, 9) and len({first, second, third, (0, 0, 0)}) == 4


def looks(**changed: list) -> Looks:
    shares = np.full((6, 3), [0.9, 0.09, 0.01])
    unsure = np.zeros((6, 3))
    entropy = np.zeros(6)
    for name, values in changed.items():
        {'shares': shares, 'unsure': unsure, 'entropy': entropy}[name][:] = (
            values
        )
    return Looks(shares, unsure, entropy)


def test_unclear_pixels_of_rare_classes_count_more():
    seen = looks(unsure=np.eye(3)[[0, 1, 2, 0, 1, 2]] * 0.01)
    common, rarer, rarest, *_ = anchor_scores(seen)
    assert rarer / common == pytest.approx(10**0.5)
    assert rarest / common == pytest.approx(90**0.5)


def test_centres_are_spread():
    points = np.array([[0.0], [0.1], [5.0], [5.1], [9.0]])
    assert k_centres(points, 0, 3) == [0, 4, 2]
    # As the slow, obvious version.
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, 2))
    chosen = [3]
    while len(chosen) < 8:
        far = [
            min(np.linalg.norm(p - points[c]) for c in chosen) for p in points
        ]
        chosen.append(int(np.argmax(far)))
    assert k_centres(points, 3, 8) == chosen


def test_near_duplicates_are_left_out_and_baselines_rank():
    seen = looks(entropy=[1, 5, 4, 3, 2, 0])
    thumbnails = np.eye(6)
    assert choose(seen, thumbnails, 3, 'entropy') == [1, 2, 3]
    thumbnails[2] = thumbnails[1]
    assert choose(seen, thumbnails, 3, 'entropy') == [1, 3, 4]
    first = choose(seen, np.eye(6), 6, 'random', seed=1)
    assert sorted(first) == list(range(6))
    assert first != choose(seen, np.eye(6), 6, 'random', seed=2)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the tool on a finished run of CAG."""
    folder = finished.write_run(tmp_path, stages=1)

    def tool(*arguments: object) -> Path:
        out = tmp_path / 'out'
        words = [TOOL, folder / 'config.py', *arguments]
        if '--read' not in arguments:
            words.insert(2, folder / 'iter_3.pth')
        monkeypatch.setattr('sys.argv', [*map(str, words), '--out', str(out)])
        runpy.run_path(str(TOOL), run_name='__main__')
        return out

    return tool


def test_images_are_chosen_prelabelled_and_read_back(run, tmp_path, capsys):
    pytest.importorskip('pycocotools')
    out = run('-n', '2')
    names = (out / 'images.txt').read_text().split()
    assert len({*names}) == 2
    assert all(name in (out / 'index.html').read_text() for name in names)
    images = tmp_path / 'cityscapes/leftImg8bit/train'
    out.rename(tmp_path / 'chosen')
    read = []
    for form in ('png', 'coco.json', 'cvat.xml'):
        labels = run('--read', tmp_path / 'chosen' / form)
        read.append([np.array(Image.open(labels / name)) for name in names])
        labels.rename(tmp_path / f'labels of {form}')
    assert read[0][0].shape == tiny.SIZE and (images / names[0]).is_file()
    for others in read[1:]:
        np.testing.assert_array_equal(read[0], others)
    assert '2 labels read' in capsys.readouterr().out


def test_corrections_of_images_with_a_role_are_read(run, tmp_path, capsys):
    dataset = DATASETS.build(tiny.cityscapes(tmp_path, 'train'))
    info = dataset.metainfo
    chosen = {'train': labelled_images(dataset, range(len(dataset) - 1))}
    roles = tmp_path / 'roles.json'
    write_roles(roles, Roles(tuple(info['classes']), chosen))
    config = tmp_path / 'run/config.py'
    cfg = Config.fromfile(config)
    domains = cfg.train_dataloader.dataset.domains
    domains.target = dict(
        type='RoleSubset', roles=str(roles), dataset=domains.target
    )
    lines = [f'{key} = {value!r}' for key, value in cfg.to_dict().items()]
    config.write_text('\n'.join(lines))
    root = f'{dataset.data_prefix["img_path"]}/'
    names = [
        dataset.get_data_info(i)['img_path'].removeprefix(root)
        for i in (0, 1, len(dataset) - 1)
    ]
    drawn = {name: np.full(tiny.SIZE, 1, np.uint8) for name in names}
    drawn[names[1]][:] = 255  # nobody labelled it
    write_png(tmp_path / 'png', drawn, info['classes'], info['palette'])
    stale = tmp_path / 'out.part/stale.png'  # of a run that was killed
    stale.parent.mkdir()
    stale.touch()
    out = run('--read', tmp_path / 'png')
    found = [str(path.relative_to(out)) for path in out.rglob('*.png')]
    assert sorted(found) == sorted([names[0], names[2]])
    text = capsys.readouterr().out
    assert 'png: 1 without a labelled pixel, left out' in text
    assert '2 labels read' in text
    drawn[names[0]][:] = drawn[names[2]][:] = 255
    write_png(tmp_path / 'void', drawn, info['classes'], info['palette'])
    out.rename(tmp_path / 'read')
    with pytest.raises(SystemExit, match='void: has no labelled pixel'):
        run('--read', tmp_path / 'void')


def test_what_is_wrong_is_said_and_nothing_is_overwritten(run, tmp_path):
    pytest.importorskip('pycocotools')
    with pytest.raises(SystemExit, match='-n 6: the target has 5 images'):
        run('-n', '6')
    dataset = DATASETS.build(tiny.cityscapes(tmp_path, 'train'))
    classes = tuple(dataset.metainfo['classes'])
    chosen = {'choose': labelled_images(dataset, [0, 1])}
    write_roles(tmp_path / 'roles.json', Roles(classes, chosen))
    with pytest.raises(SystemExit, match='3 images without a role'):
        run('-n', '4', '--roles', tmp_path / 'roles.json')
    # Frames of the same drive are left out as well.
    chosen = {
        'choose': labelled_images(dataset, [0], lambda name: 'drive'),
        'train': labelled_images(dataset, [1], lambda name: 'other'),
    }
    roles = Roles(classes, chosen, group='drive|bern')
    other = replace(chosen['choose'][0], group='bern')
    for group, left in (('drive', 3), ('bern', 0)):
        chosen['choose'] = [replace(other, group=group)]
        write_roles(tmp_path / f'{group}.json', roles)
        with pytest.raises(SystemExit, match=f'{left} images without a role'):
            run('-n', '4', '--roles', tmp_path / f'{group}.json')
    assert not (tmp_path / 'out').exists()
    (tmp_path / 'out').mkdir()
    with pytest.raises(SystemExit, match='out: already exists'):
        run('-n', '2')
    assert not [*(tmp_path / 'out').iterdir()]


def test_names_that_are_no_text_are_said_before_the_work(run, tmp_path):
    pytest.importorskip('pycocotools')
    images = tmp_path / 'cityscapes/leftImg8bit/train'
    first = min(images.rglob('*.png'))
    first.rename(first.with_name(f'\udce9{first.name}'))
    with pytest.raises(SystemExit, match=r'udce9.*not in UTF-8') as caught:
        run('-n', '2')
    assert caught.value.code.isascii()
    assert not (tmp_path / 'out').exists()


def test_a_library_that_is_not_installed_is_named(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocotools', None)
    with pytest.raises(SystemExit, match='pip install -e ..labels'):
        run('-n', '2')
    assert not (tmp_path / 'out').exists()

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import cv2
import mmcv
import numpy as np
import pytest

from mmseg_cag.errors import UserError
from mmseg_cag.inference.demo.show import find_way, overlay, show_input


def invert(image: np.ndarray) -> np.ndarray:
    return 255 - image


def test_each_image_of_a_folder_is_shown_in_its_subfolder(images, tmp_path):
    out, checkpoint = tmp_path / 'out', tmp_path / 'x.pth'
    written = show_input(images, out, checkpoint, invert)
    names = [str(path.relative_to(out)) for path in written]
    assert names == ['a.png', 'deep/er/b.jpg.png']
    image = cv2.imread(str(images / 'a.png'))
    np.testing.assert_array_equal(cv2.imread(str(written[0])), 255 - image)
    # The same command again writes the same.
    assert show_input(images, out, checkpoint, invert) == written


def test_each_frame_of_a_video_is_shown_at_its_rate(video, tmp_path):
    out = tmp_path / 'out'
    [path] = show_input(video, out, tmp_path / 'x.pth', invert)
    shown, given = mmcv.VideoReader(str(path)), mmcv.VideoReader(str(video))
    assert (shown.frame_cnt, shown.fps) == (8, 20)
    difference = np.abs(shown[0].astype(int) - (255 - given[0].astype(int)))
    # Noise, compressed twice; the image itself would be 90 away.
    assert difference.mean() < 40
    assert sorted(file.name for file in out.iterdir()) == [
        'demo.json',
        'drive.avi.mp4',
    ]


def test_a_video_cut_short_is_shown_as_far_as_it_goes(
    video, tmp_path, monkeypatch
):
    said = []
    monkeypatch.setattr(
        'mmseg_cag.inference.demo.show.print_log',
        lambda text, *_: said.append(text),
    )
    cut = tmp_path / 'cut.avi'
    content = video.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    [path] = show_input(cut, tmp_path / 'out', tmp_path / 'x.pth', invert)
    count = mmcv.VideoReader(str(path)).frame_cnt
    assert 0 < count < 8
    assert said == [f'{cut}: {count} of 8 frames could be read']


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('x.mp4', b'no video', 'not readable as a video'),
        ('x.avi', b'', 'not readable as a video'),
        ('x.png', b'no image', 'cannot be decoded'),
        ('x.png', b'', 'cannot be decoded'),
        ('x.txt', b'', r'expected a folder or a file \.png'),
        ('x', b'', 'expected a folder or a file'),
        ('folder/x.txt', b'', 'no images in this folder'),
        ('folder/x.png', b'', r'x\.png: cannot be decoded'),
    ],
)
def test_a_bad_input_is_named_in_one_line(name, content, message, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    source = tmp_path / name.partition('/')[0]
    with pytest.raises(UserError, match=message) as caught:
        show_input(source, tmp_path / 'out', tmp_path / 'x.pth', invert)
    assert str(source) in str(caught.value) and '\n' not in str(caught.value)


def test_a_missing_input_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='gone: no such image'):
        find_way(tmp_path / 'gone')


def test_results_of_something_else_are_left_alone(images, video, tmp_path):
    out, checkpoint = tmp_path / 'out', tmp_path / 'x.pth'
    show_input(images, out, checkpoint, invert)
    before = (out / 'a.png').read_bytes()
    with pytest.raises(UserError, match=r'out: holds results of another inp'):
        show_input(video, out, checkpoint, np.copy)
    with pytest.raises(UserError, match=r'out: holds results of another che'):
        show_input(images, out, tmp_path / 'y.pth', np.copy)
    for inside in (images, images / 'shown'):
        with pytest.raises(UserError, match='is in the input'):
            show_input(images, inside, checkpoint, np.copy)
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'thesis.tex').touch()
    with pytest.raises(UserError, match='exists with other content'):
        show_input(images, other, checkpoint, np.copy)
    with pytest.raises(UserError, match='exists and is no folder'):
        show_input(images, video, checkpoint, np.copy)
    assert (out / 'a.png').read_bytes() == before


def test_the_overlay_mixes_colour_and_image():
    image = np.full((1, 2, 3), (100, 50, 10), np.uint8)
    labels, palette = np.array([[0, 1]]), [[200, 0, 0], [0, 0, 40]]
    shown = overlay(image, labels, palette, 0.25)
    # Blue, green, red; the palette is red, green, blue.
    np.testing.assert_allclose(shown[0, 0], (75, 38, 58), atol=1)
    np.testing.assert_allclose(shown[0, 1], (85, 38, 8), atol=1)
    np.testing.assert_array_equal(overlay(image, labels, palette, 0), image)


def test_images_that_would_be_shown_nearly_black_are_refused(tmp_path):
    image = np.full((8, 8, 3), 4095, np.uint16)  # white of 12 bits
    (tmp_path / 'x').mkdir()
    cv2.imwrite(str(tmp_path / 'x/a.png'), image)
    with pytest.raises(UserError, match='16-bit images use only 12'):
        show_input(tmp_path / 'x', tmp_path / 'out', tmp_path / 'c', invert)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import io
import runpy
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from mmseg_cag.fileio import lazy_png
from mmseg_cag.fileio.lazy_png import LazyPng

HEIGHT, WIDTH = 40, 30


def picture(noise: int = 3) -> np.ndarray:
    """A smooth image with noise, so that all filters are worth using."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 250, (5, 4, 3), np.uint8)
    image = cv2.resize(small, (WIDTH, HEIGHT)).astype(int)
    image[: HEIGHT // 3] += rng.integers(0, noise, (HEIGHT // 3, WIDTH, 3))
    return image.clip(0, 255).astype(np.uint8)


def with_pillow(image: np.ndarray, **kwargs) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'PNG', **kwargs)
    return file.getvalue()


def with_opencv(image: np.ndarray) -> bytes:
    return cv2.imencode('.png', image)[1].tobytes()


def with_filter(number: int) -> bytes:
    """Every row by one filter, undone here by the letter of the standard."""
    lines = np.random.default_rng(number).integers(
        0, 256, (HEIGHT, 1 + 3 * WIDTH), np.uint8
    )
    lines[:, 0] = number
    header = struct.pack('>IIBBBBB', WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    parts = [
        (b'IHDR', header),
        (b'IDAT', zlib.compress(lines.tobytes())),
        (b'IEND', b''),
    ]
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data))
        + name
        + data
        + struct.pack('>I', zlib.crc32(name + data))
        for name, data in parts
    )


FILES = {
    'Pillow': with_pillow(picture()),
    'Pillow, noise': with_pillow(picture(90)),
    'OpenCV': with_opencv(picture()),
    **{f'filter {number}': with_filter(number) for number in range(5)},
}


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('top', [0, 1, 17, HEIGHT - 1])
def test_a_part_equals_that_of_the_whole_image(name, top):
    content = FILES[name]
    whole = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    png = LazyPng.open(content, 'x.png')
    assert png.shape == (HEIGHT, WIDTH, 3)
    for bottom in {top + 1, HEIGHT}:
        part = np.asarray(png.crop(slice(top, bottom), slice(4, 21)))
        assert np.array_equal(part, whole[top:bottom, 4:21])


def test_rows_below_are_not_decoded(monkeypatch):
    asked = []

    class Inflate:
        error, crc32, compress = zlib.error, zlib.crc32, zlib.compress

        @staticmethod
        def decompressobj():
            stream = zlib.decompressobj()

            class Counting:
                def decompress(self, data, length):
                    asked.append(length)
                    return stream.decompress(data, length)

            return Counting()

    monkeypatch.setattr(lazy_png, 'zlib', Inflate)
    LazyPng.open(FILES['Pillow'], 'x.png').crop(slice(3, 9), slice(0, 2))
    assert asked == [9 * (1 + 3 * WIDTH)]


@pytest.mark.parametrize('mode', ['L', 'P'])
def test_the_index_of_a_palette_is_kept(mode):
    ids = np.random.default_rng(0).integers(0, 35, (9, 7), np.uint8)
    image = Image.fromarray(ids, mode)
    if mode == 'P':
        image.putpalette([(37 * i + 91) % 256 for i in range(3 * 256)])
    file = io.BytesIO()
    image.save(file, 'PNG')
    png = LazyPng.open(file.getvalue(), 'x.png')
    assert np.array_equal(np.asarray(png.decode()), ids)


def oriented() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    return with_pillow(picture(), exif=exif)


def test_without_the_faster_module_pixels_are_the_same(monkeypatch):
    expected = LazyPng.open(FILES['Pillow'], 'x.png').decode()
    monkeypatch.setitem(sys.modules, 'zlib_ng', None)
    module = runpy.run_module(lazy_png.__name__)
    assert module['zlib'] is zlib
    monkeypatch.setattr(lazy_png, 'zlib', zlib)
    assert LazyPng.open(FILES['Pillow'], 'x.png').decode() == expected


def test_other_images_are_left_to_others():
    others = {
        'alpha': with_pillow(np.dstack([picture(), picture()[..., :1]])),
        '16 bit': with_opencv(picture().astype(np.uint16)),
        'turned': oriented(),
        'JPEG': cv2.imencode('.jpg', picture())[1].tobytes(),
        'text': b'no image',
        'nothing': b'',
    }
    for name, content in others.items():
        assert LazyPng.open(content, name) is None, name


@pytest.mark.parametrize('length', [8, 20, 60, -30, -12, -1])
def test_a_cut_file_is_named(length):
    with pytest.raises(ValueError, match=r'^x\.png: a damaged PNG') as caught:
        LazyPng.open(FILES['Pillow'][:length], 'x.png')
    assert '\n' not in str(caught.value)
    assert isinstance(caught.value, OSError)


def test_an_altered_file_is_named():
    content = bytearray(FILES['Pillow'])
    content[len(content) // 2] ^= 1
    with pytest.raises(ValueError, match='damaged PNG .wrong checksum'):
        LazyPng.open(bytes(content), 'x.png')


@pytest.mark.parametrize('lines', [b'', b'\x07' * 4000])
def test_rows_that_are_missing_or_wrong(lines):
    png = LazyPng((HEIGHT, WIDTH, 3), zlib.compress(lines), 'x.png')
    with pytest.raises(ValueError, match=r'^x\.png: a damaged PNG'):
        png.decode()
    png = LazyPng((HEIGHT, WIDTH, 3), b'no stream', 'x.png')
    with pytest.raises(ValueError, match=r'^x\.png: a damaged PNG'):
        png.decode()


def test_a_header_that_claims_exabytes():
    png = LazyPng((2**31, 2**31, 3), zlib.compress(b''), 'x.png')
    with pytest.raises(ValueError, match=r'^x\.png: a damaged PNG'):
        png.decode()

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import zlib

import cv2
import numpy as np
import pytest

from mmseg_cag.fileio.images import chunk_overruns, imdecode

IMAGE = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)


def encoded(ending: str) -> bytes:
    return cv2.imencode(ending, IMAGE)[1].tobytes()


def with_length(png: bytes, chunk: bytes, length: int) -> bytes:
    """Let a chunk claim another length."""
    at = png.index(chunk) - 4
    return png[:at] + length.to_bytes(4, 'big') + png[at + 4 :]


@pytest.mark.parametrize('ending', ['.png', '.bmp', '.tiff'])
def test_images_are_decoded_whatever_follows_them(ending):
    for rest in (b'', b'appended by a camera\xff\xff\xff\xff'):
        image = imdecode(encoded(ending) + rest, cv2.IMREAD_COLOR)
        assert np.array_equal(image, IMAGE)


@pytest.mark.parametrize('chunk', [b'IHDR', b'IDAT', b'IEND'])
@pytest.mark.parametrize('length', [10_000, 2**31, 2**32 - 1])
def test_a_chunk_longer_than_the_file_is_refused_unread(
    chunk, length, monkeypatch
):
    damaged = with_length(encoded('.png'), chunk, length)
    assert chunk_overruns(damaged)
    # OpenCV would allocate and clear what the chunk claims.
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('decoded'))
    assert imdecode(damaged, cv2.IMREAD_COLOR) is None


def test_a_size_that_no_image_has_is_refused_unread(monkeypatch):
    png = bytearray(encoded('.png'))
    png[16:24] = (2**20).to_bytes(4, 'big') * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, 'big')
    # OpenCV would take three terabytes for an image.
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('decoded'))
    assert imdecode(bytes(png), cv2.IMREAD_COLOR) is None


@pytest.mark.parametrize('content', [b'', b'text', encoded('.png')[:20]])
def test_no_image_is_none(content):
    assert imdecode(content, cv2.IMREAD_COLOR) is None

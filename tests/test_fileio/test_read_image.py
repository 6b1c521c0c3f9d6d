# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""One reader of images: the same pixels wherever an image is read."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets import LoadAnnotations
from PIL import Image, PngImagePlugin

from mmseg_cag.data_check.contents import check_depth, decode
from mmseg_cag.datasets.inspection.headers import check_headers, read_header
from mmseg_cag.datasets.transforms import (
    LoadImageOnDemand,
    LoadLabelIds,
    LoadLabelsByName,
)
from mmseg_cag.errors import UserError
from mmseg_cag.fileio import images
from mmseg_cag.fileio.images import read_image

HEIGHT, WIDTH = 12, 20
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
GREY = RGB[..., 0]
PICTURE = Image.fromarray(RGB)


def alpha(mode: str) -> Image.Image:
    image = PICTURE.convert(mode)
    image.putalpha(Image.fromarray(GREY))
    return image


def saved(image: Image.Image, form: str, **how) -> bytes:
    file = BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def png(bits: int, colour: int) -> bytes:
    """A PNG of a depth that Pillow does not write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack('>I', zlib.crc32(name + content))
        return struct.pack('>I', len(content)) + name + content + checksum

    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    length = -(-WIDTH * channels * bits // 8)
    rows = np.random.default_rng(1).integers(
        0, 256, (HEIGHT, 1 + length), np.uint8
    )
    rows[:, 0] = 0  # no filter
    head = struct.pack('>IIBBBBB', WIDTH, HEIGHT, bits, colour, 0, 0, 0)
    return b''.join(
        (
            images.PNG,
            chunk(b'IHDR', head),
            chunk(b'IDAT', zlib.compress(rows.tobytes())),
            chunk(b'IEND', b''),
        )
    )


def turned(orientation: int, form: str, **how) -> bytes:
    exif = Image.Exif()
    exif[0x112] = orientation
    return saved(PICTURE, form, exif=exif, **how)


def files() -> dict[str, bytes]:
    found = {
        'bilevel.png': saved(PICTURE.convert('1'), 'PNG'),
        'bilevel.tif': saved(PICTURE.convert('1'), 'TIFF'),
        'bilevel.bmp': saved(PICTURE.convert('1'), 'BMP'),
        'grey.jpg': saved(PICTURE.convert('L'), 'JPEG'),
        'progressive.jpg': saved(PICTURE, 'JPEG', progressive=True),
        'cmyk.jpg': saved(PICTURE.convert('CMYK'), 'JPEG'),
        'cmyk.tif': saved(PICTURE.convert('CMYK'), 'TIFF'),
        'lzw.tif': saved(PICTURE, 'TIFF', compression='tiff_lzw'),
        'jpeg.tif': saved(PICTURE, 'TIFF', compression='jpeg'),
        'lossless.webp': saved(PICTURE, 'WEBP', lossless=True),
        'alpha.webp': saved(alpha('RGBA'), 'WEBP'),
        'clear.png': saved(PICTURE.convert('P'), 'PNG', transparency=3),
        'palette4.png': saved(PICTURE.quantize(16), 'PNG', bits=4),
    }
    for form in ('PNG', 'TIFF', 'BMP'):
        for mode in ('L', 'P', 'RGB'):
            name = f'{mode}.{form.lower()}'
            found[name] = saved(PICTURE.convert(mode), form)
        found[f'alpha.{form.lower()}'] = saved(alpha('RGBA'), form)
    found |= {
        f'{form}.grey-alpha': saved(alpha('LA'), form)
        for form in ('PNG', 'TIFF')
    }
    found |= {f'grey{bits}.png': png(bits, 0) for bits in (1, 2, 4, 16)}
    found |= {f'rgb16-{c}.png': png(16, c) for c in (2, 4, 6)}
    deep = RGB.astype(np.uint16) << 8 | RGB
    found['deep.tif'] = cv2.imencode('.tif', deep)[1].tobytes()
    for orientation in range(1, 9):
        for form in ('JPEG', 'PNG', 'WEBP', 'TIFF'):
            name = f'turned{orientation}.{form.lower()}'
            found[name] = turned(orientation, form)
    return found


FILES = files()


@pytest.mark.parametrize('name', FILES)
def test_all_readers_see_the_same_pixels(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FILES[name])
    sample = dict(img_path=str(path), seg_fields=[])
    content = np.frombuffer(FILES[name], np.uint8)
    expected = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert expected.shape[2] == 3
    cached = LoadImageOnDemand(cache_dir=str(tmp_path / 'cache'))
    for load in (LoadImageOnDemand(), cached, cached, LoadImageFromFile()):
        found = load(dict(sample))
        assert found['img'].dtype == np.uint8
        assert np.array_equal(found['img'], expected)
        assert found['ori_shape'] == expected.shape[:2]
    assert np.array_equal(read_image(str(path)), expected)
    # Nor does the check object.
    assert list(check_headers(sample, None, labelled=False)) == []
    assert decode(sample, None, None).findings == ()


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
def test_a_label_is_of_the_picture_as_it_is_turned(
    tmp_path, form, orientation
):
    path, label = tmp_path / 'image', tmp_path / 'label.png'
    path.write_bytes(turned(orientation, form))
    size = read_image(str(path)).shape[1::-1]
    sample = dict(img_path=str(path), seg_map_path=str(label))
    Image.new('L', size).save(label)
    assert list(check_headers(sample, None, labelled=True)) == []
    Image.new('L', size[::-1]).save(label)
    [finding] = check_headers(sample, None, labelled=True)
    assert finding.name == 'size mismatch'


def complaint(sample: dict, **how) -> str:
    [finding] = check_headers(sample, None, how.get('labelled', False))
    assert '\n' not in finding.problem
    return f'{finding.name}: {finding.problem}'


def test_pixels_that_no_reader_takes(tmp_path):
    path = tmp_path / 'image.tif'
    sample = dict(img_path=str(path))
    cv2.imwrite(str(path), RGB.astype(np.float32) / 255)
    assert complaint(sample) == (
        'unreadable file: has 32 bits per channel, expected 8 or 16'
    )
    Image.fromarray(GREY.astype(np.int32)).save(path)
    assert 'has 32 bits per channel' in complaint(sample)
    with pytest.raises(UserError, match=r'image\.tif: cannot be decoded'):
        read_image(str(path))


@pytest.mark.parametrize('ending', ['.png', '.tif'])
@pytest.mark.parametrize('bits', [9, 10, 12, 14, 15, 16])
def test_images_of_less_than_16_bits_in_16_are_refused(tmp_path, ending, bits):
    path = str(tmp_path / f'image{ending}')
    cv2.imwrite(path, GREY.astype(np.uint16) << bits - 8)
    content = decode(dict(img_path=path), None, None)
    found = list(check_depth('folder', [content]))
    if bits > 14:
        assert found == []
        return
    [finding] = found
    assert finding.name == 'dark images'
    assert f'use only {bits} bits' in finding.problem
    assert read_image(path).max() < 2 ** (bits - 8)


def test_one_bright_image_shows_that_the_bits_are_used(tmp_path):
    contents = []
    for name, bits in (('a.png', 12), ('b.png', 16)):
        cv2.imwrite(str(tmp_path / name), GREY.astype(np.uint16) << bits - 8)
        sample = dict(img_path=str(tmp_path / name))
        contents.append(decode(sample, None, None))
    assert list(check_depth('folder', contents)) == []


@pytest.mark.parametrize('progressive', [False, True])
@pytest.mark.parametrize(
    'rest', [b'\0' * 5000, b'\xff\xda' + b'camera' * 1000]
)
def test_a_jpeg_may_have_data_behind_its_end(tmp_path, progressive, rest):
    path = tmp_path / 'image.jpg'
    content = saved(PICTURE, 'JPEG', progressive=progressive)
    path.write_bytes(content + rest)
    sample = dict(img_path=str(path))
    assert list(check_headers(sample, None, False)) == []
    path.write_bytes(content[:-20])
    assert 'its end is missing' in complaint(sample)


def with_text(path: Path, image: Image.Image) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text('made by', 'x' * 3_000_000, zip=True)
    info.add_itxt('with', 'y' * 9_000_000, zip=True)
    image.save(path, pnginfo=info)


def test_a_png_may_have_large_text(tmp_path):
    image, label = tmp_path / 'image.png', tmp_path / 'label.png'
    with_text(image, PICTURE)
    ids = GREY % 19
    with_text(label, Image.fromarray(ids))
    sample = dict(img_path=str(image), seg_map_path=str(label))
    assert np.array_equal(read_image(str(image))[..., ::-1], RGB)
    labels = LoadLabelIds('trainids')
    assert list(check_headers(sample, labels, labelled=True)) == []
    assert np.array_equal(labels.read_ids(str(label)), ids)
    with_text(label, Image.fromarray(ids).convert('P'))
    assert np.array_equal(labels.read_ids(str(label)), ids)
    stock = dict(seg_map_path=str(label), seg_fields=[], label_map=None)
    stock['reduce_zero_label'] = False
    assert np.array_equal(LoadAnnotations()(stock)['gt_seg_map'], ids)


def test_the_limit_of_size_is_named(tmp_path, monkeypatch):
    path = tmp_path / 'image.png'
    PICTURE.save(path)
    monkeypatch.setattr(images, 'MAX_PIXELS', HEIGHT * WIDTH - 1)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', HEIGHT * WIDTH // 2 - 1)
    text = (
        'has more than 239 pixels; if that is correct, set the '
        'environment variable OPENCV_IO_MAX_IMAGE_PIXELS'
    )
    with pytest.raises(UserError, match=f'{path}: {text}'):
        read_image(str(path))
    assert complaint(dict(img_path=str(path))) == f'unreadable file: {text}'


def test_more_pixels_than_pillow_takes_are_no_fault():
    assert images.MAX_PIXELS > 2 * 89_478_485
    assert Image.MAX_IMAGE_PIXELS == images.MAX_PIXELS // 2


LOSSY = {
    'a.jpg': dict(format='JPEG', quality=100),
    'a.webp': dict(format='WEBP', quality=75),
    'a.tif': dict(format='TIFF', compression='jpeg'),
    'a.jp2': dict(format='JPEG2000'),
}


@pytest.mark.parametrize('name', LOSSY)
@pytest.mark.parametrize('mode', ['L', 'RGB'])
def test_labels_in_a_lossy_format_are_refused(tmp_path, name, mode):
    image, label = tmp_path / 'image.png', tmp_path / name
    PICTURE.save(image)
    Image.fromarray(GREY % 3).convert(mode).save(label, **LOSSY[name])
    sample = dict(img_path=str(image), seg_map_path=str(label))
    assert complaint(sample, labelled=True).startswith('lossy labels')
    classes = ['road', 'car']
    readers = [
        LoadLabelIds('cityscapes'),
        LoadLabelsByName(classes, dict(road=1, car=2), void_ids='others'),
        LoadLabelsByName(classes, dict(road=(1, 1, 1), car=(2, 2, 2))),
    ]
    for reader in readers:
        with pytest.raises(UserError, match=f'{label}: .*is lossy'):
            reader.read_ids(str(label))


def test_lossless_webp_holds_labels(tmp_path):
    path = tmp_path / 'a.webp'
    ids = GREY % 2 + 1
    Image.fromarray(ids).convert('RGB').save(path, lossless=True)
    step = LoadLabelsByName(['road', 'car'], dict(road=(1,) * 3, car=(2,) * 3))
    assert not read_header(str(path)).lossy
    assert np.array_equal(step.read_ids(str(path)) & 255, ids)

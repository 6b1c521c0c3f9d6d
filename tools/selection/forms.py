# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Read and write label maps in the formats of labelling programs.

An unlabelled pixel is in no mask of COCO and CVAT, and black in a PNG. All
three formats identify classes by name; numbers and colours are local to the
file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import cv2
import numpy as np
from PIL import Image

from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.json_file import read_json

# legend: H W image

VOID = 255
BACKGROUND = 'background'  # CVAT's name of unlabelled pixels in PNGs
BLACK = (0, 0, 0)
COLOURS, MASKS = 'labelmap.txt', 'SegmentationClass'
NAMES = 'ImageSets/Segmentation/default.txt'  # CVAT finds PNGs through it
BEYOND = 10  # times the image's size: no coordinate is as far outside
Labels = Mapping[str, np.ndarray]  # (H, W) uint8 by the image's name


def mask_codec() -> object:
    """Import pycocotools.

    Raises:
        UserError: It is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise UserError(
            'masks and polygons need pycocotools: pip install -e .[labels]'
        ) from error
    return mask


def write_png(
    folder: Path, labels: Labels, classes: Sequence[str], palette: Sequence
) -> None:
    """Write a folder that CVAT imports as "Segmentation mask 1.1".

    Args:
        folder: It gets ``labelmap.txt``, a list of the images and a PNG for
            each.
        labels: The label maps.
        classes: Names of the classes.
        palette: A colour for each, 0 to 255.
    """
    colours = distinct(palette)
    # A class may have that name, too: it gets another colour.
    lines = [] if BACKGROUND in classes else [f'{BACKGROUND}:0,0,0::']
    for name, colour in zip(classes, colours, strict=True):
        lines.append(f'{name}:{",".join(map(str, colour))}::')
    (folder / NAMES).parent.mkdir(parents=True)
    stems = [f'{PurePosixPath(name).with_suffix("")}\n' for name in labels]
    (folder / NAMES).write_text(''.join(stems), encoding='utf-8')
    (folder / COLOURS).write_text('\n'.join(lines) + '\n', encoding='utf-8')
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = colours
    for name, label in labels.items():
        path = folder / MASKS / Path(name).with_suffix('.png')
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(label)
        image.putpalette(table.tobytes())
        image.save(path)


def distinct(palette: Sequence) -> list[tuple[int, int, int]]:
    """Replace duplicate and black class colours."""
    free = np.random.default_rng(0)
    found: list[tuple[int, int, int]] = []
    for colour in palette:
        own = tuple(map(int, colour))
        while own in found or own == BLACK:
            own = tuple(map(int, free.integers(1, 255, 3)))
        found.append(own)
    return found


def write_coco(path: Path, labels: Labels, classes: Sequence[str]) -> None:
    """Write a COCO file: one run-length encoded mask per class and image.

    Raises:
        UserError: pycocotools is not installed.
    """
    codec = mask_codec()
    images, annotations = [], []
    for number, (name, label) in enumerate(labels.items(), start=1):
        height, width = label.shape
        images.append(
            dict(id=number, file_name=name, height=height, width=width)
        )
        for k, mask in _of_classes(label):
            packed = codec.encode(np.asfortranarray(mask, np.uint8))
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=k + 1,
                    iscrowd=0,
                    area=int(codec.area(packed)),
                    bbox=codec.toBbox(packed).tolist(),
                    segmentation={
                        'size': [height, width],
                        'counts': packed['counts'].decode('ascii'),
                    },
                )
            )
    categories = [
        dict(id=k, name=name) for k, name in enumerate(classes, start=1)
    ]
    content = dict(
        images=images, annotations=annotations, categories=categories
    )
    path.write_text(json.dumps(content), encoding='utf-8')


def write_cvat(
    path: Path, labels: Labels, classes: Sequence[str], palette: Sequence
) -> None:
    """Write a file in the format "CVAT for images 1.1", with masks."""
    root = ElementTree.Element('annotations')
    ElementTree.SubElement(root, 'version').text = '1.1'
    task = ElementTree.SubElement(ElementTree.SubElement(root, 'meta'), 'task')
    named = ElementTree.SubElement(task, 'labels')
    for name, colour in zip(classes, distinct(palette), strict=True):
        label = ElementTree.SubElement(named, 'label')
        ElementTree.SubElement(label, 'name').text = name
        tint = '#{:02x}{:02x}{:02x}'.format(*colour)
        ElementTree.SubElement(label, 'color').text = tint
    for number, (name, label) in enumerate(labels.items()):
        height, width = label.shape
        size = dict(width=str(width), height=str(height))
        image = ElementTree.SubElement(
            root, 'image', id=str(number), name=name, **size
        )
        for k, mask in _of_classes(label):
            ElementTree.SubElement(
                image,
                'mask',
                label=classes[k],
                source='auto',
                occluded='0',
                z_order='0',
                **_runs(mask),
            )
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(
        path, encoding='utf-8', xml_declaration=True
    )


def _of_classes(label: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for k in np.unique(label[label != VOID]):
        yield int(k), label == k


def _runs(mask: np.ndarray) -> dict[str, str]:
    """Encode a mask as CVAT does: runs of its box, row by row, 0 first."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    flat = mask[top : top + height, left : left + width].ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *ends, flat.size]).tolist()
    if flat[0]:
        lengths.insert(0, 0)
    box = dict(left=left, top=top, width=width, height=height)
    return {
        'rle': ', '.join(map(str, lengths)),
        **{key: str(value) for key, value in box.items()},
    }


def read_labels(
    path: Path, classes: Sequence[str], sizes: Mapping[str, tuple[int, int]]
) -> dict[str, np.ndarray]:
    """Read label maps in any of the three formats, by class name.

    Args:
        path: A folder with ``labelmap.txt``, a JSON file of COCO or an XML
            file of CVAT.
        classes: The trained classes.
        sizes: Height and width of each allowed image, by name.

    Returns:
        Train ids (H, W) uint8 by image name, 255 where unlabelled.

    Raises:
        MissingFileError: The path does not exist.
        UserError: It has another format, an unknown class, an unknown image,
            or a label whose size differs from its image.
    """
    if path.is_dir():
        found = _read_png(path, classes, sizes)
    elif not path.is_file():
        raise MissingFileError(f'{path}: not found, expected corrected labels')
    elif path.suffix == '.json':
        found = _read_coco(path, classes, sizes)
    elif path.suffix == '.xml':
        found = _read_cvat(path, classes, sizes)
    else:
        raise UserError(
            f'{path}: expected a folder of PNGs, a *.json of COCO or an *.xml '
            'of CVAT'
        )
    labels = dict(found)
    if not labels:
        raise UserError(f'{path}: has no labelled image')
    return labels


def _class_of(name: str, classes: Sequence[str], path: Path) -> int:
    if name not in classes:
        raise UserError(
            f'{path}: labels of {name!r}, expected one of {", ".join(classes)}'
        )
    return list(classes).index(name)


def _require_size(
    name: str,
    size: tuple[int, int],
    sizes: Mapping[str, tuple[int, int]],
    path: Path,
) -> None:
    if name not in sizes:
        raise UserError(f'{path}: labels {name}, which is no target image')
    if size != sizes[name]:
        (found, expected) = (
            'x'.join(map(str, s[::-1])) for s in (size, sizes[name])
        )
        raise UserError(
            f'{path}: a label of {found} pixels of {name}, expected '
            f'{expected}, the size of its image'
        )


def _read_png(
    folder: Path, classes: Sequence[str], sizes: Mapping
) -> Iterator[tuple[str, np.ndarray]]:
    table = folder / COLOURS
    if not table.is_file():
        raise MissingFileError(f'{table}: not found, expected name:r,g,b::')
    ids = {BLACK: VOID}
    for line in table.read_text(encoding='utf-8').splitlines():
        name, _, rest = line.partition(':')
        if not name or name.startswith('#'):
            continue
        try:
            colour = tuple(map(int, rest.split(':')[0].split(',')))
        except ValueError:
            raise UserError(
                f'{table}: found {line!r}, expected name:r,g,b::'
            ) from None
        if name != BACKGROUND or (name in classes and colour != BLACK):
            ids[colour] = _class_of(name, classes, table)
    by_stem = {str(Path(name).with_suffix('')): name for name in sizes}
    for path in sorted((folder / MASKS).rglob('*.png')):
        stem = str(path.relative_to(folder / MASKS).with_suffix(''))
        try:
            colours = np.asarray(Image.open(path).convert('RGB'))
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f'{path}: is no PNG ({error})') from error
        name = by_stem.get(stem, stem)
        _require_size(name, colours.shape[:2], sizes, path)
        flat, inverse = np.unique(
            colours.reshape(-1, 3), axis=0, return_inverse=True
        )
        for colour in map(tuple, flat.tolist()):
            if colour not in ids:
                raise UserError(
                    f'{path}: has the colour {colour}, expected those of '
                    f'{table}'
                )
        train_ids = np.array([ids[tuple(c)] for c in flat.tolist()], np.uint8)
        yield name, train_ids[inverse].reshape(colours.shape[:2])


def _read_coco(
    path: Path, classes: Sequence[str], sizes: Mapping
) -> Iterator[tuple[str, np.ndarray]]:
    content = read_json(path)
    try:
        names = {c['id']: c['name'] for c in content['categories']}
        images = {image['id']: image for image in content['images']}
        labels = {}
        for image in images.values():
            size = image['height'], image['width']
            _require_size(image['file_name'], size, sizes, path)
            labels[image['id']] = np.full(size, VOID, np.uint8)
        for one in content['annotations']:
            k = _class_of(names[one['category_id']], classes, path)
            label = labels[one['image_id']]
            found = one['segmentation']
            if isinstance(found, list):
                label[_polygons(found, label.shape)] = k
            else:
                label[_coco_mask(found, label.shape)] = k
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path}: not of COCO's form ({error!r})") from error
    for number, label in labels.items():
        yield images[number]['file_name'], label


def _read_cvat(
    path: Path, classes: Sequence[str], sizes: Mapping
) -> Iterator[tuple[str, np.ndarray]]:
    try:
        root = ElementTree.parse(path).getroot()  # noqa: S314
        for image in root.iter('image'):
            name = image.attrib['name']
            size = int(image.attrib['height']), int(image.attrib['width'])
            _require_size(name, size, sizes, path)
            label = np.full(size, VOID, np.uint8)
            # A tag describes the whole image.
            shapes = [shape for shape in image if shape.tag != 'tag']
            for shape in sorted(
                shapes, key=lambda s: int(s.attrib.get('z_order', 0))
            ):
                if shape.tag not in ('mask', 'polygon'):
                    raise UserError(
                        f'{path}: {name} has a {shape.tag}, expected masks '
                        'and polygons only'
                    )
                k = _class_of(shape.attrib['label'], classes, path)
                _paint(label, shape, k)
            yield name, label
    except UserError:
        raise
    except (
        ElementTree.ParseError, KeyError, ValueError, IndexError,
    ) as error:  # fmt: skip
        raise UserError(f"{path}: not of CVAT's form ({error!r})") from error


def _paint(label: np.ndarray, shape: ElementTree.Element, k: int) -> None:
    """Draw a CVAT mask or polygon onto a label map."""
    found = shape.attrib
    if shape.tag == 'polygon':
        points = found['points'].replace(';', ',').split(',')
        label[_polygons([points], label.shape)] = k
        return
    left, top, width, height = (
        int(found[key]) for key in ('left', 'top', 'width', 'height')
    )
    if left < 0 or top < 0:
        raise ValueError('a mask beyond the image')
    runs = found['rle'].split(',') if found['rle'] else []
    mask = _filled(list(map(int, runs)), (height, width))
    label[top : top + height, left : left + width][mask] = k


def _filled(lengths: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    """Decode run lengths, row by row, 0 first."""
    if not lengths:
        raise ValueError('no run lengths')
    if min(lengths) < 0 or sum(lengths) != shape[0] * shape[1]:
        raise ValueError(
            f'run lengths of {sum(lengths)} pixels, expected '
            f'{shape[0] * shape[1]}'
        )
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(shape)


def _coco_mask(found: dict, shape: tuple[int, int]) -> np.ndarray:
    """Decode a mask of COCO, whose runs go column by column."""
    if tuple(found['size']) != shape:
        raise ValueError(f'a mask of size {found["size"]}, expected {shape}')
    lengths = found['counts']
    if isinstance(lengths, str):
        lengths = _unpacked(lengths)
    return _filled(lengths, shape[::-1]).T


def _unpacked(text: str) -> list[int]:
    """Unpack COCO's run lengths; its decoder does not check their sum.

    Characters have five bits each, the lowest first, and one that says whether
    more follow. From the third run on they are differences to the last but
    one.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    return lengths


def _polygons(parts: Sequence[Sequence], shape: tuple[int, int]) -> np.ndarray:
    """Fill the polygons of an object as COCO does.

    Args:
        parts: x, y, x, y, ... of each; whole numbers are borders of pixels.
        shape: Height and width of the image.
    """
    found = [np.array(part, float) for part in parts]
    for points in found:
        # Of others the codec makes nothing, or it crashes.
        if points.ndim != 1 or len(points) < 6 or len(points) % 2:
            raise ValueError('a polygon with fewer than three points')
        if not (np.abs(points) < BEYOND * max(shape)).all():
            raise ValueError('a polygon far beyond the image')
    if not found:
        raise ValueError('no mask and no polygon')
    codec = mask_codec()
    packed = codec.frPyObjects([points.tolist() for points in found], *shape)
    return codec.decode(codec.merge(packed)).astype(bool)

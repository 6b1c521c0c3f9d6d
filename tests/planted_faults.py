# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Faults to plant in a minitown or in the config that reads it.

Each function plants one and returns the name by which the doctor calls it and
where it is.
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests import tiny

VAL = 'cityscapes/gtFine/val/lindau/lindau_000001_000019_gtFine_labelIds.png'


def cut(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])


def truncated_image(town, cfg):
    cut(town / 'gta/images/00002.png', 0.6)
    return 'truncated file', 'gta/images/00002.png'


def truncated_label(town, cfg):
    cut(town / VAL, 0.9)
    return 'truncated file', VAL


def changed_inside(town, cfg):
    """Only decoding tells: header and end are good."""
    path = town / 'cityscapes/leftImg8bit/train/ahornau'
    path = sorted(path.iterdir())[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    return 'unreadable file', path.name


def changed_inside_a_label(town, cfg):
    path = town / 'gta/labels/00003.png'
    content = bytearray(path.read_bytes())
    content[-20] ^= 0xFF  # within the checksums, which Pillow skips
    path.write_bytes(content)
    return 'unreadable file', path.name


def no_image_at_all(town, cfg):
    (town / 'gta/images/00001.png').write_bytes(b'<html>not found</html>')
    return 'unreadable file', 'gta/images/00001.png'


def empty_file(town, cfg):
    (town / VAL).write_bytes(b'')
    return 'unreadable file', VAL


def label_of_another_size(town, cfg):
    path = town / 'gta/labels/00004.png'
    label = Image.open(path)
    label.resize((32, 32), Image.NEAREST).save(path)
    return 'size mismatch', 'gta/labels/00004.png'


def missing_label(town, cfg):
    (town / VAL).unlink()
    return 'missing label', VAL


def extra_image(town, cfg):
    images = town / 'gta/images'
    shutil.copy(images / '00001.png', images / '00009.png')
    return 'missing label', 'gta/labels/00009.png'


def extra_label(town, cfg):
    labels = town / 'gta/labels'
    shutil.copy(labels / '00001.png', labels / '00009.png')
    return 'label without image', 'gta/labels/00009.png'


def unknown_ids(town, cfg):
    path = town / 'gta/labels/00003.png'
    ids = np.array(Image.open(path))
    ids[:4] = 77
    tiny.save_palette(path, ids)
    return 'unknown ids', 'gta/labels/00003.png'


def train_ids_taken_for_label_ids(town, cfg):
    path = town / VAL
    label = np.array(Image.open(path)) % 19
    label[:4] = 255
    Image.fromarray(label).save(path)
    return 'unknown ids', VAL


def label_ids_taken_for_train_ids(town, cfg):
    pipeline = cfg.val_dataloader.dataset.pipeline
    pipeline[1] = dict(type='LoadAnnotations')
    return 'unknown ids', 'gtFine/val'


def void_alone(town, cfg):
    """As in Cityscapes' test split."""
    for path in (town / 'cityscapes/gtFine/val').rglob('*.png'):
        label = np.array(Image.open(path))
        Image.fromarray(np.full_like(label, 3)).save(path)
    return 'no class in the labels', 'gtFine/val'


def class_that_vanished(town, cfg):
    for path in (town / 'gta/labels').iterdir():
        ids = np.array(Image.open(path))
        ids[ids == 7] = 0  # road
        tiny.save_palette(path, ids)
    return 'class never seen', 'gta/labels'


def colours_for_ids(town, cfg):
    path = town / VAL
    Image.open(path).convert('RGB').save(path)
    return 'colours as labels', VAL


def empty_split(town, cfg):
    for path in (town / 'cityscapes/leftImg8bit/train').rglob('*.png'):
        path.unlink()
    return 'empty split', 'leftImg8bit/train'


def no_folder(town, cfg):
    (town / 'gta/images').rename(town / 'gta/image')
    return 'missing folder', 'gta/images'


def no_label_folder(town, cfg):
    cfg.val_dataloader.dataset.data_prefix.pop('seg_map_path')
    return 'no label folder', 'val_dataloader.dataset.data_prefix'


def wrong_suffix(town, cfg):
    cfg.train_dataloader.dataset.domains.source.img_suffix = '.jpg'
    return 'wrong suffix', 'gta/images'


def wrong_label_suffix(town, cfg):
    suffix = '_gtFine_labelTrainIds.png'
    cfg.val_dataloader.dataset.seg_map_suffix = suffix
    return 'wrong suffix', 'gtFine/val'


def images_of_two_suffixes(town, cfg):
    images = town / 'gta/images'
    Image.open(images / '00001.png').save(images / '00001.jpg')
    return 'image not read', 'gta/images/00001.jpg'


def image_link_to_nowhere(town, cfg):
    path = town / 'gta/images/00002.png'
    path.unlink()
    path.symlink_to(town / 'gone.png')
    return 'broken link', 'gta/images/00002.png'


def label_link_to_nowhere(town, cfg):
    (town / VAL).unlink()
    (town / VAL).symlink_to(town / 'gone.png')
    return 'broken link', VAL


def swapped_roots(town, cfg):
    data = cfg.train_dataloader.dataset
    data.domains.source.data_root = str(town / 'cityscapes')
    data.domains.target.data_root = str(town / 'gta')
    return 'swapped domains', 'cityscapes'


def swapped_folders(town, cfg):
    data = cfg.train_dataloader.dataset
    data.domains.source.data_root = str(town / 'cityscapes')
    data.domains.source.data_prefix = dict(
        img_path='leftImg8bit/train', seg_map_path='gtFine/train'
    )
    return 'swapped domains', 'leftImg8bit/train'


def game_as_target(town, cfg):
    target = cfg.train_dataloader.dataset.domains.target
    target.data_root = str(town / 'synthia')
    target.data_prefix = dict(img_path='RGB')
    target.img_suffix = '.png'
    return 'swapped domains', 'synthia/RGB'


def one_domain_twice(town, cfg):
    data = cfg.train_dataloader.dataset
    data.domains.target = dict(
        **tiny.gta(town),
        **dict(img_suffix='.png'),
    )
    data.domains.target.pipeline.pop(1)
    return 'same images', 'gta/images/00001.png'


def evaluation_on_training_images(town, cfg):
    cfg.val_dataloader.dataset = tiny.cityscapes(town, 'train')
    return 'training images evaluated', 'leftImg8bit/train'


def anchors_of_other_images(town, cfg):
    shutil.copytree(town / 'gta', town / 'gta2')
    source = cfg.train_dataloader.dataset.domains.source
    cfg.anchor_dataloader = dict(dataset=copy.deepcopy(source))
    cfg.anchor_dataloader.dataset.data_root = str(town / 'gta2')
    cfg.default_hooks = dict(anchors=dict(type='AnchorHook'))
    return 'anchors of other data', 'anchor_dataloader.dataset'


def target_with_labels(town, cfg):
    target = tiny.cityscapes(town, 'train')
    cfg.train_dataloader.dataset.domains.target = target
    return 'target labels read', 'dataset.domains.target.pipeline'


def other_class_names(town, cfg):
    cfg.val_dataloader.dataset.metainfo = dict(classes=('road', 'car'))
    return 'class names differ', 'val_dataloader.dataset'


def classes_in_another_order(town, cfg):
    source = cfg.train_dataloader.dataset.domains.source
    source.metainfo = dict(classes=('road', 'car'))
    target = cfg.train_dataloader.dataset.domains.target
    target.metainfo = dict(classes=('car', 'road'))
    return 'class names differ', 'train_dataloader.dataset.domains.target'


def other_class_count(town, cfg):
    cfg.model.decode_head.num_classes = 16
    return 'class count differs', 'model.decode_head.num_classes'


def images_lost(town, cfg):
    (town / 'gta/images/00004.png').unlink()
    (town / 'gta/labels/00004.png').unlink()
    return 'unexpected count', 'gta/images'


def drawing_interrupted(town, cfg):
    (town / 'minitown.json').rename(town / 'minitown.unfinished.json')
    return 'unfinished minitown', 'gta/images'


def unknown_setting(town, cfg):
    cfg.val_dataloader.dataset.image_suffix = '.png'
    return 'broken config', 'val_dataloader.dataset'


def missing_domain(town, cfg):
    cfg.train_dataloader.dataset.domains.target = None
    return 'broken config', 'train_dataloader.dataset.domains.target'


def no_list_of_names(town, cfg):
    cfg.val_dataloader.dataset.ann_file = 'val.txt'
    return 'broken config', 'val_dataloader.dataset'


def name_without_image(town, cfg):
    (town / 'cityscapes/names.txt').write_text('lindau/lindau_9\n')
    cfg.val_dataloader.dataset.ann_file = 'names.txt'
    return 'missing image', 'lindau/lindau_9_leftImg8bit.png'


def red_alone(town: Path) -> list[tuple[Path, np.ndarray]]:
    paths = sorted((town / 'synthia/GT/LABELS').iterdir())
    return [(p, cv2.imread(str(p), cv2.IMREAD_UNCHANGED)) for p in paths]


def synthia_of_8_bits(town, cfg):
    for path, label in red_alone(town):
        cv2.imwrite(str(path), label.astype(np.uint8))
    return 'wrong bit depth', 'GT/LABELS/0000000.png'


def synthia_of_one_8_bit_channel(town, cfg):
    for path, label in red_alone(town):
        cv2.imwrite(str(path), label[..., 2].astype(np.uint8))
    return 'wrong bit depth', 'GT/LABELS/0000000.png'


def synthia_colours(town, cfg):
    (town / 'synthia/GT/COLOR').mkdir()
    for path, label in red_alone(town):
        colours = (label * 9 % 256).astype(np.uint8)
        cv2.imwrite(str(town / 'synthia/GT/COLOR' / path.name), colours)
    source = cfg.train_dataloader.dataset.domains.source
    source.data_prefix.seg_map_path = 'GT/COLOR'
    return 'colours as labels', 'GT/COLOR/0000000.png'


def synthia_sequence(town, cfg):
    for folder in ('RGB', 'GT/LABELS'):
        old = town / 'synthia' / folder
        old.rename(old.with_name('old'))
        old.mkdir()
        old.with_name('old').rename(old / 'Stereo_Left')
    return 'SYNTHIA sequence', 'synthia/RGB'

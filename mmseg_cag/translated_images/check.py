# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmengine import fileio
from mmseg.registry import DATASETS

from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.note import read_note

from .image_folder import NOTE, names_hash


def check_translated_images(dataset: dict) -> None:
    """Check that translated images are complete.

    Each label has an image; a data set lists its images alone, and so would
    not miss one. Where a note tells how many images were made, they are these
    very ones. Images from elsewhere need no note.

    Args:
        dataset: Config of a labelled data set with the translated images.

    Raises:
        MissingFileError: The folder or images of it are missing.
        UserError: Its images are others than its note tells of.
    """
    built = DATASETS.build({**dataset, 'lazy_init': True, 'pipeline': []})
    folder = built.data_prefix['img_path']
    if not fileio.isdir(folder):
        raise MissingFileError(f'{folder}: no folder of translated images')
    found = _list(folder, built.img_suffix)
    labels = _list(built.data_prefix['seg_map_path'], built.seg_map_suffix)
    expected = {
        name.removesuffix(built.seg_map_suffix) + built.img_suffix
        for name in labels
    }
    if missing := sorted(expected - found):
        raise MissingFileError(
            f'{folder}: {len(missing)} of {len(expected)} translated images '
            f'are missing, the first is {missing[0]}'
        )
    _check_note(Path(folder, NOTE), found)


def _check_note(path: Path, found: set[str]) -> None:
    if not path.is_file():
        return
    note = read_note(path)
    if note.get('names_sha256') != names_hash(found):
        raise UserError(
            f'{path}: tells of {note.get("images", "unfinished")} images, '
            f'found {len(found)}, of which not all have the names of those '
            'that were made'
        )


def _list(folder: str, suffix: str) -> set[str]:
    return set(fileio.list_dir_or_file(folder, False, True, suffix, True))

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmseg.registry import TRANSFORMS

from mmseg_cag.datasets.label_formats import ColourFormat, IdFormat
from mmseg_cag.errors import UserError

from .loading import fit_label


def match_classes(
    classes: Sequence[str],
    names: Iterable[str],
    merge: dict[str, str],
    absent: Iterable[str] = (),
) -> dict[str, int]:
    """Match the classes of label files to training classes by name.

    Args:
        classes: Training classes in the order of their train ids.
        names: The classes of the files.
        merge: File class -> training class that it joins.
        absent: Training classes that the files may lack.

    Returns:
        Train ids by name, for the names that have one.

    Raises:
        UserError: A class is listed twice or unknown, or a training class is
            not among the files' names.
    """
    names = list(names)
    _require_distinct('classes', classes)
    _require_known('merge', merge, names, 'ids')
    _require_known('merge', merge.values(), classes, 'classes')
    _require_known('absent', absent, classes, 'classes')
    joined = {name: merge.get(name, name) for name in names}
    for name in classes:
        if name not in joined.values() and name not in absent:
            raise UserError(
                f'classes: {name!r} is not a class of the files, which have '
                f'{", ".join(names)}; merge one into it, or list it in absent '
                'if they lack it'
            )
    index = {name: train_id for train_id, name in enumerate(classes)}
    return {n: index[j] for n, j in joined.items() if j in index}


def _require_distinct(key: str, names: Sequence[str]) -> None:
    for name in names:
        if list(names).count(name) > 1:
            raise UserError(f'{key}: {name!r} is listed twice')


def _require_known(
    key: str, names: Iterable[str], known: Iterable[str], where: str
) -> None:
    for name in names:
        if name not in known:
            raise UserError(
                f'{key}: {name!r} is not among {where}, expected one of '
                f'{", ".join(known)}'
            )


# legend: H W image

Id = int | Sequence[int]
OTHERS = 'others'
UNKNOWN = -1


@TRANSFORMS.register_module()
class LoadLabelsByName(BaseTransform):
    """Read label files with arbitrary ids and match classes by name.

    Writes ``gt_seg_map``, uint8 (H, W), train ids in the order of
    ``classes``. File classes without a training class, by name or ``merge``,
    become ``ignore_index``, like void ids. An undeclared id stops the run.

    Args:
        classes: The training classes.
        ids: The classes of the files: name -> id, or name -> (red, green,
            blue) where colours stand for classes.
        merge: File class -> training class that it joins.
        void_ids: Further ids or colours of the files without a class;
            ``others`` covers all ids that are not in ``ids``.
        absent: Training classes that these files lack.
        ignore_index: Train id of pixels without training.
        backend_args: Arguments of mmengine's file backend.

    Attributes:
        train_ids: Raw id to train id; the raw id of a colour is 0xRRGGBB.
        void_ids: Known raw ids without training.

    Raises:
        UserError: Names do not match, or an id is invalid or used twice.
    """

    fits_image = True

    def __init__(
        self,
        classes: Sequence[str],
        ids: dict[str, Id],
        merge: dict[str, str] | None = None,
        void_ids: Collection[Id] | str = (),
        absent: Sequence[str] = (),
        ignore_index: int = 255,
        backend_args: dict | None = None,
    ) -> None:
        if not 1 < len(classes) <= ignore_index < 2**8:
            raise UserError(
                f'LoadLabelsByName: {len(classes)} classes with '
                f'ignore_index={ignore_index}, expected 2 classes or more, '
                'and an unused 8-bit index'
            )
        self.classes = list(classes)
        self.backend_args = backend_args
        is_id = all(isinstance(value, int) for value in ids.values())
        self._format = IdFormat() if is_id else ColourFormat()
        numbers = {n: self._format.number(i, n) for n, i in ids.items()}
        trained = match_classes(self.classes, ids, merge or {}, absent)
        self.train_ids = {numbers[n]: index for n, index in trained.items()}
        names = self._invert(numbers)
        self.void_ids = names.keys() - self.train_ids.keys()
        self.void_ids |= self._declared_void(void_ids, names)
        self._table = np.full(self._format.size, UNKNOWN, np.int16)
        self._table[list(self.void_ids)] = ignore_index
        self._table[list(self.train_ids)] = list(self.train_ids.values())

    def read_ids(self, path: str) -> np.ndarray:
        """Read the raw ids (H, W) of a file, unsigned integers.

        Raises:
            UserError: The file cannot be decoded to one id per pixel.
        """
        try:
            content = fileio.get(path, backend_args=self.backend_args)
            return self._format.decode(content)
        except (OSError, SyntaxError) as error:
            raise UserError(
                f'{path}: cannot be read as a label map ({error})'
            ) from error

    def show_ids(self, ids: Sequence[int]) -> str:
        """Format raw ids for the user, or colours."""
        return self._format.show(ids)

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map`` to the sample.

        Args:
            results: The sample; ``seg_map_path`` names the label file.

        Raises:
            UserError: The file is not a label map or has an undeclared id, or
                the dataset maps labels itself.
        """
        path = results['seg_map_path']
        if results.get('label_map') is not None:
            raise UserError(
                f'{path}: from a dataset with a class selection, expected '
                'type=BaseSegDataset when LoadLabelsByName maps the ids'
            )
        ids = self.read_ids(path)
        labels = self._table[ids]
        if labels.min() == UNKNOWN:
            unknown = np.unique(ids[labels == UNKNOWN]).tolist()
            raise UserError(
                f'{path}: found {self.show_ids(unknown)}, expected only ids '
                'listed in ids or void_ids'
            )
        results['gt_seg_map'] = fit_label(labels.astype(np.uint8), results)
        results['seg_fields'].append('gt_seg_map')
        return results

    def _invert(self, numbers: dict[str, int]) -> dict[int, str]:
        names: dict[int, str] = {}
        for name, number in numbers.items():
            if number in names:
                raise UserError(
                    f'ids: {name!r} and {names[number]!r} both have '
                    f'{self.show_ids([number])}'
                )
            names[number] = name
        return names

    def _declared_void(
        self, void_ids: Collection[Id] | str, names: dict[int, str]
    ) -> set[int]:
        if isinstance(void_ids, str):
            if void_ids != OTHERS or not isinstance(self._format, IdFormat):
                raise UserError(
                    f'void_ids={void_ids!r}: expected a list, or {OTHERS!r} '
                    'if the files hold ids'
                )
            return set(range(self._format.size)) - names.keys()
        void = {self._format.number(value, 'void_ids') for value in void_ids}
        for number in void & names.keys():
            raise UserError(
                f'void_ids: {self.show_ids([number])} is also '
                f'{names[number]!r} in ids'
            )
        return void

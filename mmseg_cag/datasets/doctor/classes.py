# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator, Sequence

from .finding import Finding
from .reading import Reading

HEADS = ('decode_head', 'auxiliary_head')


def check_class_names(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Check that every data set has the classes of the first.

    And that a step that knows its classes has those of its data set.
    """
    for reading in readings:
        named = list(getattr(reading.labels, 'classes', reading.classes))
        if named != reading.classes:
            yield Finding(
                'class names differ',
                f'{reading.key}.pipeline',
                f'{_difference(named, reading.classes)} metainfo.classes',
            )
    for reading in readings[1:]:
        if reading.classes != readings[0].classes:
            yield Finding(
                'class names differ',
                reading.key,
                f'{_difference(reading.classes, readings[0].classes)} '
                f'{readings[0].key}',
            )


def _difference(found: list[str], wanted: list[str]) -> str:
    lacking = [name for name in wanted if name not in found]
    added = [name for name in found if name not in wanted]
    if not lacking and not added:
        return 'has the same classes in another order than'
    parts = [
        f'{verb} {", ".join(names)}'
        for verb, names in (('lacks', lacking), ('adds', added))
        if names
    ]
    return f'{" and ".join(parts)}, compared with'


def check_class_count(model: dict, classes: int) -> Iterator[Finding]:
    """Check that every head predicts as many classes as the data has.

    Args:
        model: Config of the network.
        classes: Number of classes of the data.
    """
    for key, head in _heads(model, 'model'):
        found = head.get('num_classes', classes)
        if found != classes:
            yield Finding(
                'class count differs',
                f'{key}.num_classes',
                f'is {found}, but the data has {classes} classes',
            )


def _heads(cfg: object, key: str) -> Iterator[tuple[str, dict]]:
    """Every head in a network's config, and where it stands."""
    if isinstance(cfg, dict):
        for name, value in cfg.items():
            if name in HEADS and isinstance(value, dict):
                yield f'{key}.{name}', value
            else:
                yield from _heads(value, f'{key}.{name}')
    elif isinstance(cfg, (list, tuple)):
        for index, value in enumerate(cfg):
            parent = key.rsplit('.', 1)[-1]
            if parent in HEADS and isinstance(value, dict):
                yield f'{key}.{index}', value
            else:
                yield from _heads(value, f'{key}.{index}')

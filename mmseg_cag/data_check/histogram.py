# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmseg.datasets import CityscapesDataset

from mmseg_cag.datasets.inspection.dataset_inputs import DatasetInput
from mmseg_cag.datasets.inspection.finding import Finding

from .consistency import never_drawn
from .contents import Content
from .folders import publisher_of

IGNORED = 255  # mmseg's new id of a class that is not chosen


@dataclass
class Histogram:
    """Pixels and images of each id, before and after mapping.

    Args:
        ids: Pixels of each raw id.
        pixels: Pixels of each class, by its index.
        images: Images in which each class is seen, by its index.
    """

    ids: Counter[int] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)
    images: Counter[int] = field(default_factory=Counter)


def count_classes(
    reading: DatasetInput, contents: Iterable[Content]
) -> Histogram:
    """Add up what decoded labels hold, as the network will see it."""
    classes = classes_of_ids(reading)
    histogram = Histogram()
    for content in contents:
        seen = Counter()
        for raw, pixels in content.ids.items():
            if raw in classes:
                seen[classes[raw]] += pixels
        histogram.ids.update(content.ids)
        histogram.pixels.update(seen)
        histogram.images.update(seen.keys())
    return histogram


def classes_of_ids(reading: DatasetInput) -> dict[int, int]:
    """From raw id to the index of its class; void ids are left out."""
    chosen = reading.dataset.label_map or {}
    mapped = {
        raw: chosen.get(train, train)
        for raw, train in reading.labels.train_ids.items()
    }
    return {raw: new for raw, new in mapped.items() if new != IGNORED}


def check_classes_seen(
    reading: DatasetInput, histogram: Histogram, read: int
) -> Iterator[Finding]:
    """Check that each class was seen at least once.

    Args:
        reading: The data set.
        histogram: What its labels hold.
        read: How many labels were read.
    """
    folder = reading.folder('seg_map_path')
    unseen = [
        name
        for index, name in enumerate(reading.classes)
        if not histogram.pixels[index]
    ]
    if not histogram.pixels:
        yield Finding(
            'no class in the labels', folder, f'all void in {read} labels'
        )
        return
    known = _known_absent(reading)
    groups = {
        'class never seen': [name for name in unseen if name not in known],
        'class known to be absent': [n for n in unseen if n in known],
    }
    for fault, names in groups.items():
        if names:
            yield Finding(
                fault,
                folder,
                f'no pixel of {", ".join(names)} in {read} of '
                f'{len(reading.samples)} labels',
            )


def _known_absent(reading: DatasetInput) -> set[str]:
    publisher = publisher_of(reading.dataset)
    with_ids = set(classes_of_ids(reading).values())
    known = set(publisher.absent if publisher else ()).union(
        name for i, name in enumerate(reading.classes) if i not in with_ids
    )
    drawn = never_drawn(Path(reading.folder('img_path')))
    return known | {CityscapesDataset.METAINFO['classes'][i] for i in drawn}

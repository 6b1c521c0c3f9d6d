# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmseg.datasets import CityscapesDataset

from mmseg_cag.datasets.inspection.dataset_inputs import DatasetInput
from mmseg_cag.datasets.inspection.finding import Finding

from .consistency import never_drawn
from .contents import Content, check_depth, decode_all, spread
from .folders import publisher_of

IGNORED = 255  # mmseg's new id of a class that is not chosen
SEED = 0  # of the sample, so that two runs look at the same files
FEW = 8  # samples of each data set that are decoded before every run
NO_CLASS = 'no class in the labels'


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


def choose(
    reading: DatasetInput, findings: Iterable[Finding], count: int | None
) -> list[dict]:
    """Choose samples to decode, evenly, of which no file is known as bad."""
    bad = {finding.where for finding in findings}
    good = [
        sample
        for sample in reading.samples
        if bad.isdisjoint((sample['img_path'], sample.get('seg_map_path')))
    ]
    return spread(good, count, SEED)


def check_contents(
    reading: DatasetInput,
    samples: Sequence[dict],
    workers: int,
    show: Callable[[Iterable], Iterable] = iter,
) -> tuple[list[Finding], Histogram | None]:
    """Decode samples, and check them and the classes that they hold.

    Args:
        reading: The data set.
        samples: What is decoded of it.
        workers: Processes that share the work.
        show: Passes on what is decoded and shows how many are done.

    Returns:
        What is wrong, and what the labels hold; None where they are closed.
    """
    labels = reading.labels if reading.labelled else None
    backend_args = getattr(reading.dataset, 'backend_args', None)
    contents = list(show(decode_all(samples, labels, backend_args, workers)))
    findings = [f for content in contents for f in content.findings]
    findings += check_depth(reading.folder('img_path'), contents)
    if labels is None:
        return findings, None
    histogram = count_classes(reading, contents)
    findings += check_classes_seen(reading, histogram, len(contents))
    return findings, histogram


def check_few(
    reading: DatasetInput, findings: Iterable[Finding]
) -> list[Finding]:
    """Check the contents of a few samples; of all where all labels are void.

    Args:
        reading: The data set.
        findings: What is wrong with its files already.
    """
    for count in (FEW, None):
        found, _ = check_contents(
            reading, choose(reading, findings, count), workers=1
        )
        if all(finding.name != NO_CLASS for finding in found):
            break
    return found


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
        yield Finding(NO_CLASS, folder, f'all void in {read} labels')
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

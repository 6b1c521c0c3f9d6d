# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from dataclasses import dataclass, field

from .finding import Finding
from .histogram import Histogram, classes_of_ids
from .kinds import Level
from .reading import Reading


@dataclass
class Part:
    """What was found in one data set.

    Args:
        reading: The data set.
        findings: What is wrong with it.
        decoded: How many samples were decoded in full.
        histogram: What its labels hold; None if they stay closed.
    """

    reading: Reading
    findings: list[Finding] = field(default_factory=list)
    decoded: int = 0
    histogram: Histogram | None = None

    @property
    def images(self) -> int:
        """How many images it has; none if they could not be listed."""
        return len(vars(self.reading).get('samples', ()))

    @property
    def has_errors(self) -> bool:
        """Whether something is wrong that leaving out files cannot mend."""
        return any(
            f.kind.level is Level.ERROR and not f.kind.of_file
            for f in self.findings
        )

    def as_dict(self) -> dict:
        """All of it in JSON's types."""
        found = {
            'keys': [self.reading.key, *self.reading.again],
            'role': self.reading.role,
            'type': self.reading.kind,
            'folder': self.reading.folder('img_path'),
            'images': self.images,
            'decoded': self.decoded,
            'findings': [finding_as_dict(f) for f in self.findings],
        }
        if self.histogram:
            found['ids'] = dict(sorted(self.histogram.ids.items()))
            found['classes'] = class_rows(self.reading, self.histogram)
        return found


@dataclass
class Report:
    """What was found in everything that a config reads.

    Args:
        parts: The data sets.
        findings: What is wrong between them, or with the config.
    """

    parts: list[Part]
    findings: list[Finding]

    @property
    def all_findings(self) -> list[Finding]:
        """The worst first."""
        every = [f for part in self.parts for f in part.findings]
        return sorted(every + self.findings, key=lambda f: -f.kind.level)

    @property
    def exit_code(self) -> int:
        """0 if all is good, 1 with warnings, 2 with errors."""
        return int(max((f.kind.level for f in self.all_findings), default=0))

    def as_dict(self) -> dict:
        """All of it in JSON's types."""
        return {
            'exit_code': self.exit_code,
            'findings': [finding_as_dict(f) for f in self.findings],
            'data': [part.as_dict() for part in self.parts],
        }


def finding_as_dict(finding: Finding) -> dict[str, str]:
    """A finding in JSON's types."""
    return {
        'level': finding.kind.level.name.lower(),
        'name': finding.name,
        'where': finding.where,
        'problem': finding.problem,
        'remedy': finding.remedy,
    }


def class_rows(reading: Reading, histogram: Histogram) -> list[dict]:
    """Raw ids, share of the labelled pixels and images of each class."""
    ids: dict[int, list[int]] = {}
    for raw, new in classes_of_ids(reading).items():
        ids.setdefault(new, []).append(raw)
    total = max(histogram.pixels.total(), 1)
    return [
        {
            'class': name,
            'ids': sorted(ids.get(index, ())),
            'share': histogram.pixels[index] / total,
            'images': histogram.images[index],
        }
        for index, name in enumerate(reading.classes)
    ]

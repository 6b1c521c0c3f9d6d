# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Kinds of data faults with their severity and remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from mmseg_cag.errors import MissingFileError, UserError


class Level(IntEnum):
    """Severity of a finding; the highest is the tool's exit code."""

    NOTE = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Args:
        name: Name of the kind.
        level: Severity.
        remedy: What the user can do.
        of_file: Whether skipping the file fixes it.
    """

    name: str
    level: Level
    remedy: str
    of_file: bool = False


# Name of each kind and its remedy. What is wrong with one file is mended by
# skipping the file, too.
_ERRORS = {
    'broken config': 'Correct the setting named in the message.',
    'missing folder': (
        'Correct data_root or data_prefix, or put the data there.'
    ),
    'unreadable folder': 'Download or unpack it again, or make it readable.',
    'swapped domains': (
        'Point each dataset class to the folder of its own data.'
    ),
    'same images': 'Use separate folders for source and target.',
    'empty split': 'Put the images there, or correct data_prefix or ann_file.',
    'wrong suffix': (
        'Set img_suffix or seg_map_suffix to the suffix of the files.'
    ),
    'no label folder': (
        'Set data_prefix.seg_map_path, or remove the transform that loads '
        'labels from the pipeline.'
    ),
    'target labels read': (
        'Remove the transform that loads labels from the target pipeline.'
    ),
    'lossy labels': 'Save the labels as PNG again from their originals.',
    'dark images': (
        'Save them with 8 bits, or scale them to the full 16-bit range: '
        'docs/own_data.md.'
    ),
    'wrong bit depth': (
        'Use the original label files: for SYNTHIA the 16-bit GT/LABELS.'
    ),
    'colours as labels': (
        'Point data_prefix.seg_map_path at files of ids: for SYNTHIA '
        'GT/LABELS, not GT/COLOR; for Cityscapes _gtFine_labelIds.png.'
    ),
    'SYNTHIA sequence': (
        'Download SYNTHIA-RAND-CITYSCAPES: the sequences have other ids.'
    ),
    'no class in the labels': (
        'Use a split whose labels are published; those of a test split are '
        'withheld.'
    ),
    'class names differ': (
        'Set metainfo.classes to the same list in every dataset.'
    ),
    'class count differs': (
        'Set num_classes to the number of classes of the data, which name the '
        'background, too.'
    ),
}
_ERRORS_OF_A_FILE = {
    'missing image': 'Unpack it again, or remove its name from ann_file.',
    'missing label': 'Unpack the labels again, or remove the extra image.',
    'broken link': 'Fix the symbolic link: its target does not exist.',
    'unreadable file': 'Unpack or download the file again.',
    'truncated file': 'Unpack or download the file again: its end is missing.',
    'size mismatch': (
        'Image and label must be the same frame at the same size.'
    ),
    'unknown ids': (
        'Load the labels with the transform of their format: LoadLabelIds for '
        'raw ids, LoadAnnotations for trainIds.'
    ),
}
_WARNINGS = {
    'unexpected count': (
        'Unpack every part again; for a deliberate subset, list it in '
        'ann_file.'
    ),
    'unfinished minitown': 'Finish drawing it: python tools/draw_minitown.py.',
    'label without image': 'Unpack the images again, or remove the label.',
    'image not read': 'Rename it to end in img_suffix, or move it elsewhere.',
    'class never seen': (
        'Check everything with --full; if it remains absent, remove the class '
        'from metainfo.classes or expect an IoU of 0.'
    ),
    'absent class labelled': (
        'Training ignores these pixels; to learn from them, remove the class '
        'from absent of the DomainPool.'
    ),
    'anchors of other data': (
        'Set data_root in both places: one does not follow the other.'
    ),
    'training images evaluated': (
        'Evaluate on images that are not used in training.'
    ),
}
_WARNINGS_OF_A_FILE = {
    'label resized': (
        'Check a few such pairs: the label is resized to its image, which is '
        'correct if both show the same frame, as in GTA5.'
    ),
    'upper bits not read': (
        'Load the labels with LoadLabelsByName, which reads 16 bits, or save '
        'them with 8: ids from 256 would be taken for others.'
    ),
}
_NOTES = {
    'hidden files': (
        'Nothing: notebooks and network disks store copies and thumbnails '
        'like this.'
    ),
    'class known to be absent': (
        'Nothing: the dataset does not have it. Report 16 or 13 classes.'
    ),
    'not checked': (
        'Nothing: only datasets of image and label folders are checked.'
    ),
}
KINDS = {
    name: Kind(name, level, remedy, of_file)
    for level, of_file, remedies in (
        (Level.ERROR, False, _ERRORS),
        (Level.ERROR, True, _ERRORS_OF_A_FILE),
        (Level.WARNING, False, _WARNINGS),
        (Level.WARNING, True, _WARNINGS_OF_A_FILE),
        (Level.NOTE, False, _NOTES),
    )
    for name, remedy in remedies.items()
}


NOT_FOUND = (
    'missing folder',
    'missing image',
    'missing label',
    'broken link',
    'wrong suffix',
)


@dataclass(frozen=True)
class Finding:
    """A fault in the data.

    Args:
        name: Its name in `KINDS`.
        where: The file, folder or key.
        problem: Expected and found, in one line.
        advice: What the user can do, if it differs from the kind's remedy.
    """

    name: str
    where: str
    problem: str
    advice: str = ''

    @property
    def remedy(self) -> str:
        """What the user can do."""
        return self.advice or self.kind.remedy

    @property
    def kind(self) -> Kind:
        """Return its kind, with severity and remedy."""
        return KINDS[self.name]

    def as_error(self) -> UserError:
        """Return the exception that stops a run at this fault."""
        kind = MissingFileError if self.name in NOT_FOUND else UserError
        return kind(f'{self.where}: {self.problem}')

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


_ERRORS = (
    Kind(
        'broken config',
        Level.ERROR,
        'Correct the setting named in the message.',
    ),
    Kind(
        'missing folder',
        Level.ERROR,
        'Correct data_root or data_prefix, or put the data there.',
    ),
    Kind(
        'unreadable folder',
        Level.ERROR,
        'Download or unpack it again, or make it readable.',
    ),
    Kind(
        'swapped domains',
        Level.ERROR,
        'Point each dataset class to the folder of its own data.',
    ),
    Kind(
        'same images',
        Level.ERROR,
        'Use separate folders for source and target.',
    ),
    Kind(
        'empty split',
        Level.ERROR,
        'Put the images there, or correct data_prefix or ann_file.',
    ),
    Kind(
        'wrong suffix',
        Level.ERROR,
        'Set img_suffix or seg_map_suffix to the suffix of the files.',
    ),
    Kind(
        'no label folder',
        Level.ERROR,
        'Set data_prefix.seg_map_path, or remove the transform that loads '
        'labels from the pipeline.',
    ),
    Kind(
        'target labels read',
        Level.ERROR,
        'Remove the transform that loads labels from the target pipeline.',
    ),
    Kind(
        'missing image',
        Level.ERROR,
        'Unpack it again, or remove its name from ann_file.',
        of_file=True,
    ),
    Kind(
        'missing label',
        Level.ERROR,
        'Unpack the labels again, or remove the extra image.',
        of_file=True,
    ),
    Kind(
        'broken link',
        Level.ERROR,
        'Fix the symbolic link: its target does not exist.',
        of_file=True,
    ),
    Kind(
        'unreadable file',
        Level.ERROR,
        'Unpack or download the file again.',
        of_file=True,
    ),
    Kind(
        'truncated file',
        Level.ERROR,
        'Unpack or download the file again: its end is missing.',
        of_file=True,
    ),
    Kind(
        'size mismatch',
        Level.ERROR,
        'Image and label must be the same frame at the same size.',
        of_file=True,
    ),
    Kind(
        'lossy labels',
        Level.ERROR,
        'Save the labels as PNG again from their originals.',
    ),
    Kind(
        'dark images',
        Level.ERROR,
        'Save them with 8 bits, or scale them to the full 16-bit range: '
        'docs/own_data.md.',
    ),
    Kind(
        'wrong bit depth',
        Level.ERROR,
        'Use the original label files: for SYNTHIA the 16-bit GT/LABELS.',
    ),
    Kind(
        'colours as labels',
        Level.ERROR,
        'Point data_prefix.seg_map_path at files of ids: for SYNTHIA '
        'GT/LABELS, not GT/COLOR; for Cityscapes _gtFine_labelIds.png.',
    ),
    Kind(
        'SYNTHIA sequence',
        Level.ERROR,
        'Download SYNTHIA-RAND-CITYSCAPES: the sequences have other ids.',
    ),
    Kind(
        'unknown ids',
        Level.ERROR,
        'Load the labels with the transform of their format: LoadLabelIds '
        'for raw ids, LoadAnnotations for trainIds.',
        of_file=True,
    ),
    Kind(
        'no class in the labels',
        Level.ERROR,
        'Use a split whose labels are published; those of a test split are '
        'withheld.',
    ),
    Kind(
        'class names differ',
        Level.ERROR,
        'Set metainfo.classes to the same list in every dataset.',
    ),
    Kind(
        'class count differs',
        Level.ERROR,
        'Set num_classes to the number of classes of the data, which name the '
        'background, too.',
    ),
)
_WARNINGS = (
    Kind(
        'label resized',
        Level.WARNING,
        'Check a few such pairs: the label is resized to its image, which is '
        'correct if both show the same frame, as in GTA5.',
        of_file=True,
    ),
    Kind(
        'upper bits not read',
        Level.WARNING,
        'Load the labels with LoadLabelsByName, which reads 16 bits, or save '
        'them with 8: ids from 256 would be taken for others.',
        of_file=True,
    ),
    Kind(
        'unexpected count',
        Level.WARNING,
        'Unpack every part again; for a deliberate subset, list it in '
        'ann_file.',
    ),
    Kind(
        'unfinished minitown',
        Level.WARNING,
        'Finish drawing it: python tools/draw_minitown.py.',
    ),
    Kind(
        'label without image',
        Level.WARNING,
        'Unpack the images again, or remove the label.',
    ),
    Kind(
        'image not read',
        Level.WARNING,
        'Rename it to end in img_suffix, or move it elsewhere.',
    ),
    Kind(
        'class never seen',
        Level.WARNING,
        'Check everything with --full; if it remains absent, remove the '
        'class from metainfo.classes or expect an IoU of 0.',
    ),
    Kind(
        'absent class labelled',
        Level.WARNING,
        'Training ignores these pixels; to learn from them, remove the class '
        'from absent of the DomainPool.',
    ),
    Kind(
        'anchors of other data',
        Level.WARNING,
        'Set data_root in both places: one does not follow the other.',
    ),
    Kind(
        'training images evaluated',
        Level.WARNING,
        'Evaluate on images that are not used in training.',
    ),
)
_NOTES = (
    Kind(
        'hidden files',
        Level.NOTE,
        'Nothing: notebooks and network disks store copies and thumbnails '
        'like this.',
    ),
    Kind(
        'class known to be absent',
        Level.NOTE,
        'Nothing: the dataset does not have it. Report 16 or 13 classes.',
    ),
    Kind(
        'not checked',
        Level.NOTE,
        'Nothing: only datasets of image and label folders are checked.',
    ),
)
KINDS = {kind.name: kind for kind in (*_ERRORS, *_WARNINGS, *_NOTES)}


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

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What can be wrong with data, how bad it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from mmseg_cag.errors import MissingFileError, UserError


class Level(IntEnum):
    """How bad a finding is; the worst one is the tool's exit code."""

    NOTE = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Args:
        name: What it is called.
        level: Severity.
        remedy: What the user can do.
        of_file: Whether leaving out the file mends it.
    """

    name: str
    level: Level
    remedy: str
    of_file: bool = False


_ERRORS = (
    Kind(
        'broken config',
        Level.ERROR,
        'Correct the setting that the message names.',
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
        'Give each data set class the folder of its own data.',
    ),
    Kind(
        'same images',
        Level.ERROR,
        'Give source and target folders of their own.',
    ),
    Kind(
        'empty split',
        Level.ERROR,
        'Put the images there, or correct data_prefix or ann_file.',
    ),
    Kind(
        'wrong suffix',
        Level.ERROR,
        'Set img_suffix or seg_map_suffix to the ending of the files.',
    ),
    Kind(
        'no label folder',
        Level.ERROR,
        'Set data_prefix.seg_map_path, or take the step that loads labels '
        'out of the pipeline.',
    ),
    Kind(
        'target labels read',
        Level.ERROR,
        'Take the step that loads labels out of the target pipeline.',
    ),
    Kind(
        'missing image',
        Level.ERROR,
        'Unpack it again, or take its name out of ann_file.',
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
        'Mend the symbolic link: what it points to does not exist.',
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
        'Save the labels as PNG again from what they were made of.',
    ),
    Kind(
        'dark images',
        Level.ERROR,
        'Save them with 8 bits, or scale them to the whole range of 16: '
        'docs/own_data.md.',
    ),
    Kind(
        'wrong bit depth',
        Level.ERROR,
        'Use the label files as published: for SYNTHIA the 16-bit GT/LABELS.',
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
        'Load the labels by the step of their format: LoadLabelIds for raw '
        'ids, LoadAnnotations for trainIds.',
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
        'Set metainfo.classes to the same list in every data set.',
    ),
    Kind(
        'class count differs',
        Level.ERROR,
        'Set num_classes to the number of classes of the data.',
    ),
)
_WARNINGS = (
    Kind(
        'label resized',
        Level.WARNING,
        'Look at a few such pairs: the label is resized to its image, which '
        'is right where both show the same frame, as in GTA5.',
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
        'Draw it to its end: python tools/draw_minitown.py.',
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
        'Read everything by --full; if it stays absent, leave the class out '
        'by metainfo.classes or expect an IoU of 0.',
    ),
    Kind(
        'anchors of other data',
        Level.WARNING,
        'Set data_root of both: one does not follow the other.',
    ),
    Kind(
        'training images evaluated',
        Level.WARNING,
        'Evaluate on images that training does not see.',
    ),
)
_NOTES = (
    Kind(
        'hidden files',
        Level.NOTE,
        'Nothing: notebooks and network disks keep copies and thumbnails so.',
    ),
    Kind(
        'class known to be absent',
        Level.NOTE,
        'Nothing: the data set does not have it. Report 16 or 13 classes.',
    ),
    Kind(
        'not checked',
        Level.NOTE,
        'Nothing: only data sets made of image and label folders are checked.',
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
    """One fault that was found.

    Args:
        name: Which of `KINDS` it is.
        where: The file, folder or key.
        problem: What was expected and what was found, in one line.
        advice: What the user can do, if it is not what its kind says.
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
        """Severity and usual fix of its kind."""
        return KINDS[self.name]

    def as_error(self) -> UserError:
        """The exception by which a run stops at this fault."""
        kind = MissingFileError if self.name in NOT_FOUND else UserError
        return kind(f'{self.where}: {self.problem}')

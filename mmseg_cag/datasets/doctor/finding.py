# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from dataclasses import dataclass

from mmseg_cag.errors import MissingFileError, UserError

from .kinds import KINDS, Kind

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
        """How bad it is and what mends most of its kind."""
        return KINDS[self.name]

    def as_error(self) -> UserError:
        """The exception by which a run stops at this fault."""
        kind = MissingFileError if self.name in NOT_FOUND else UserError
        return kind(f'{self.where}: {self.problem}')

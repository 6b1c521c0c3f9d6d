# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What became of the faults, as a table in Markdown."""

from __future__ import annotations

from collections import Counter


class Table:
    """Counts rounds by kind of fault and outcome."""

    def __init__(self) -> None:
        self.survived: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()

    def render(self) -> str:
        """Write the rows and their sum."""
        kinds = list({**self.survived, **self.lost})
        rows = [(k, self.survived[k], self.lost[k]) for k in kinds]
        rows.append(('all', self.survived.total(), self.lost.total()))
        lines = ['| fault | rounds | survived | lost |', '|---|--:|--:|--:|']
        lines += [
            f'| {kind} | {kept + lost} | {kept} | {lost} |'
            for kind, kept, lost in rows
        ]
        return '\n'.join(lines)

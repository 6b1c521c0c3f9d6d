# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Render tables as Markdown and LaTeX."""

from __future__ import annotations

from .result_table import ResultTable, Row

SHORT = {
    'traffic light': 'light',
    'traffic sign': 'sign',
    'vegetation': 'veg',
    'motorcycle': 'motor',
    'bicycle': 'bike',
}
NONE = '–'
LATEX = str.maketrans(
    {
        **{char: f'\\{char}' for char in '&%$#_{}'},
        '\\': r'\textbackslash{}',
        '~': r'\textasciitilde{}',
        '^': r'\textasciicircum{}',
        '→': r'$\to$',
        '±': r'$\pm$',
        '–': '--',
    }
)


def to_markdown(table: ResultTable) -> str:
    """Render a table with its title and notes."""
    rows = [_heads(table), *(_cells(table, row) for row in table.rows)]
    rows = [[cell.replace('|', r'\|') for cell in row] for row in rows]
    numbers = len(table.classes) + len(table.means)
    rule = ['---', '---', *['---:'] * numbers]
    lines = [f'| {" | ".join(row)} |' for row in (rows[0], rule, *rows[1:])]
    notes = [f'- {note}' for note in table.notes]
    return '\n'.join([f'## {table.title}', '', *lines, '', *notes, ''])


def to_latex(table: ResultTable) -> str:
    """Render a table that needs no LaTeX package."""
    columns = f'll{"r" * len(table.classes)}|{"r" * len(table.means)}'
    lines = [_latex_row(_cells(table, row)) for row in table.rows]
    notes = [note.translate(LATEX) for note in table.notes]
    return '\n'.join(
        [
            rf'\begin{{tabular}}{{{columns}}}',
            rf'\multicolumn{{{len(columns) - 1}}}{{l}}'
            rf'{{{table.title.translate(LATEX)}}} \\',
            r'\hline',
            _latex_row(_heads(table)),
            r'\hline',
            *lines,
            r'\hline',
            r'\end{tabular}',
            r'\par',
            *(rf'{note}. \\' for note in notes[:-1]),
            f'{notes[-1]}.',
            '',
        ]
    )


def _latex_row(cells: list[str]) -> str:
    return rf'{" & ".join(cell.translate(LATEX) for cell in cells)} \\'


def _heads(table: ResultTable) -> list[str]:
    classes = [SHORT.get(name, name) for name in table.classes]
    return ['method', 'figures', *classes, *table.means]


def _cells(table: ResultTable, row: Row) -> list[str]:
    iou = [row.iou.get(name) for name in table.classes]
    means = [row.means.get(name) for name in table.means]
    return [
        row.method,
        row.origin,
        *(NONE if value is None else f'{value:.1f}' for value in iou),
        *(
            NONE if value is None else _format_mean_sd(*value)
            for value in means
        ),
    ]


def _format_mean_sd(value: float, deviation: float | None) -> str:
    if deviation is None:
        return f'{value:.1f}'
    return f'{value:.1f} ± {deviation:.1f}'

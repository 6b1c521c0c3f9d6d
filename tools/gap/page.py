# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Self-contained HTML page of check_gap.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Gap</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 56rem; padding: 0 1rem; color-scheme: light dark }}
table {{ border-collapse: collapse; margin: 0 0 2rem }}
td, th {{ text-align: left; padding: .15rem .8rem .15rem 0;
  border-bottom: 1px solid #8884; font-variant-numeric: tabular-nums }}
b.bar {{ display: inline-block; height: .7em; background: #0072b2 }}
b.other {{ background: #d55e00 }}
</style>
<h1>{verdict}</h1>
<p>{why}</p>
{tables}
</html>
"""


def page(
    verdict: str, why: str, tables: Iterable[tuple[str, Sequence, Sequence]]
) -> str:
    """Write the page.

    Args:
        verdict: The headline.
        why: A sentence below it.
        tables: Title, heads and rows of each.
    """
    parts = []
    for title, heads, rows in tables:
        lines = [_row('th', heads), *(_row('td', row) for row in rows)]
        parts.append(
            f'<h2>{escape(title)}</h2><table>{"".join(lines)}</table>'
        )
    return PAGE.format(
        verdict=escape(verdict), why=escape(why), tables='\n'.join(parts)
    )


def _row(tag: str, cells: Sequence) -> str:
    inner = ''.join(f'<{tag}>{_cell(cell)}</{tag}>' for cell in cells)
    return f'<tr>{inner}</tr>'


def _cell(value: object) -> str:
    """Render a text, or a pair of shares as two bars."""
    if not isinstance(value, tuple):
        return escape(str(value))
    first, second = (round(300 * share) for share in value)
    return (
        f'<b class="bar" style="width:{first}px"></b><br>'
        f'<b class="bar other" style="width:{second}px"></b>'
    )

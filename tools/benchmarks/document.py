# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Insert measured results into a document, with date and machine."""

from __future__ import annotations

import os
import platform
import re
from datetime import date
from pathlib import Path

import mmengine
import mmseg
import torch

import mmseg_cag
from mmseg_cag.errors import MissingFileError, UserError

MARKS = ('<!-- results -->\n', '<!-- end of results -->')
RESULTS = re.compile('(?<=' + MARKS[0] + ').*?(?=' + MARKS[1] + ')', re.S)


def describe_machine() -> str:
    """Describe date, machine and versions of a measurement."""
    return (
        f'Measured on {date.today()}, {os.cpu_count()} CPU cores '
        f'({platform.machine()}), Python {platform.python_version()}, '
        f'torch {torch.__version__}, mmengine {mmengine.__version__}, '
        f'mmseg {mmseg.__version__}, mmseg_cag {mmseg_cag.__version__}.'
    )


def require_page(path: Path) -> None:
    """Check that a document has a place for results.

    Raises:
        MissingFileError: There is no such file.
        UserError: It has no marks.
    """
    if not path.is_file():
        raise MissingFileError(f'{path}: not found, expected a page')
    if not RESULTS.search(path.read_text()):
        raise UserError(f'{path}: expected the marks {MARKS}')


def put_results(path: Path, text: str) -> None:
    """Replace the text between the marks of a document.

    Args:
        path: The document, Markdown.
        text: The new results.

    Raises:
        UserError: There is no such document, or it has no marks.
    """
    require_page(path)
    document = path.read_text()
    path.write_text(RESULTS.sub(lambda _: text + '\n', document))

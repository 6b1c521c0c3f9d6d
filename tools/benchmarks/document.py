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
from mmseg_cag.errors import UserError

MARKS = ('<!-- results -->\n', '<!-- end of results -->')


def describe_machine() -> str:
    """Describe date, machine and versions of a measurement."""
    return (
        f'Measured on {date.today()}, {os.cpu_count()} CPU cores '
        f'({platform.machine()}), Python {platform.python_version()}, '
        f'torch {torch.__version__}, mmengine {mmengine.__version__}, '
        f'mmseg {mmseg.__version__}, mmseg_cag {mmseg_cag.__version__}.'
    )


def put_results(path: Path, text: str) -> None:
    """Replace the text between the marks of a document.

    Args:
        path: The document, Markdown.
        text: The new results.

    Raises:
        UserError: The document has no marks.
    """
    document = path.read_text()
    pattern = re.compile('(?<=' + MARKS[0] + ').*?(?=' + MARKS[1] + ')', re.S)
    if not pattern.search(document):
        raise UserError(f'{path}: expected the marks {MARKS}')
    path.write_text(pattern.sub(lambda _: text + '\n', document))

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Sphinx's settings: ``sphinx-build -W docs site`` writes the site.

Its order is that of ``README.md`` beside this file. The API has a page for
each folder of the package, from the docstrings.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'mmseg_cag'
sys.path.insert(0, str(ROOT))

project = 'mmseg_cag'
author = 'mmseg_cag authors'
copyright = author
root_doc = 'README'
exclude_patterns = ['results']
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
html_theme = 'furo'
html_title = project
myst_heading_anchors = 4  # as GitHub names them
default_role = 'code'
napoleon_use_ivar = True
suppress_warnings = ['ref.python']  # of two classes of one name, neither
autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented_params'

LINK = re.compile(r'^- \[(.+?)\]\((\w+)\.md\)', re.M)


def rooms() -> dict[str, list[str]]:
    """List the folders of the package, with the modules of each."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        if not path.stem.startswith('_'):
            *folders, module = path.relative_to(ROOT).with_suffix('').parts
            room = '.'.join(folders)
            found.setdefault(room, []).append(f'{room}.{module}')
    return found


def write_api(app: Sphinx) -> None:
    """Write the pages that have what the docstrings say."""
    folder = Path(app.srcdir, 'api')
    folder.mkdir(exist_ok=True)
    for room, modules in rooms().items():
        lines = [room, '=' * len(room), '']
        for module in modules:
            name = module.removeprefix(f'{room}.')
            lines += [name, '-' * len(name), '']
            lines += [f'.. automodule:: {module}', '   :members:', '']
        (folder / f'{room}.rst').write_text('\n'.join(lines))


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """List the pages beside each other, in the order of the first one."""
    if page != root_doc:
        return
    for section in re.split(r'^## ', source[0], flags=re.M)[1:]:
        pages = [f'{title} <{name}>' for title, name in LINK.findall(section)]
        source[0] += contents(section.partition('\n')[0], pages)
    source[0] += contents('API', [f'api/{room}' for room in rooms()])


def contents(caption: str, pages: list[str]) -> str:
    """Write a part of the table of contents, which the side bar shows."""
    head = f'\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n'
    return head + '\n'.join(pages) + '\n```\n'


def write_index(app: Sphinx, error: Exception | None) -> None:
    """Let the site begin where a server looks first."""
    start = Path(app.outdir, f'{root_doc}.html')
    if start.is_file():
        shutil.copy(start, start.with_name('index.html'))


def setup(app: Sphinx) -> None:
    """Have the pages written and listed."""
    app.connect('builder-inited', write_api)
    app.connect('source-read', add_contents)
    app.connect('build-finished', write_index)

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""How much there is to know: ``python -m tests.structure``.

Counts rooms, imports between them, files, lines and what one step of CAG
enters. ``--repo`` counts another checkout by the same rules.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = 'mmseg_cag'
ROOT = Path(__file__).parents[1]
# From the ground up: a room imports those before it, never one after it.
ROOMS = (
    'version',
    'errors',
    'watch',
    'progress',
    'stack',
    'visualization',
    'fileio',
    'datasets',
    'data_check',
    'models',
    'evaluation',
    'monitor',
    'engine',
    'launch',
    'workflows',
    'inference',
    'analysis',
    'minitown',
)
# What only the quickstart and the benchmarks use; 0.1 had it in these places.
MINITOWN = (
    'minitown/',
    'datasets/minitown/',
    'experiments/minitown.py',
    'experiments/minitown_loops.py',
)
# Parts that an import of the package must not reach.
OPTIONAL = ('matplotlib', 'argparse', f'{PACKAGE}.minitown')


def modules(repo: Path) -> dict[str, Path]:
    """Map each module of the package to its file."""
    package = repo / PACKAGE
    return {
        '.'.join(
            (PACKAGE, *path.relative_to(package).with_suffix('').parts)
        ).removesuffix('.__init__'): path
        for path in sorted(package.rglob('*.py'))
    }


def imports(repo: Path) -> Iterator[tuple[str, str]]:
    """Pairs of modules, of which the first imports the second."""
    files = modules(repo)
    for name, path in files.items():
        package = name.split('.')
        if path.name != '__init__.py':
            package = package[:-1]
        for node in ast.walk(ast.parse(path.read_text())):
            for target in _targets(node, package):
                while target and target not in files:
                    target = target.rpartition('.')[0]
                if target and target != name:
                    yield name, target


def _targets(node: ast.AST, package: list[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package[: len(package) - node.level + 1] if node.level else []
        base = '.'.join([*above, *([node.module] if node.module else [])])
        yield from (f'{base}.{alias.name}' for alias in node.names)


def room_of(module: str) -> str:
    """Name the part of the package that a module is in."""
    parts = module.split('.')
    return parts[1] if len(parts) > 1 else PACKAGE


def upward(repo: Path, rooms: tuple[str, ...] = ROOMS) -> list[str]:
    """List imports that go up, or out of the declared rooms."""
    order = {room: floor for floor, room in enumerate((*rooms, PACKAGE))}
    found = []
    for source, target in imports(repo):
        one, other = room_of(source), room_of(target)
        if one not in order or other not in order:
            found.append(f'{source} -> {target}: no declared room')
        elif order[one] < order[other]:
            found.append(f'{source} -> {target}')
    return sorted(set(found))


def circles(repo: Path) -> list[list[str]]:
    """List the sets of files that import each other in a circle.

    A package's `__init__` hands names on: an import of the package counts as
    one of that file.
    """
    graph: dict[str, set[str]] = {}
    for source, target in imports(repo):
        if modules(repo)[source].name != '__init__.py':
            graph.setdefault(source, set()).add(target)
    return [sorted(part) for part in _components(graph) if len(part) > 1]


def _components(graph: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected components, by reachability."""
    reach = {node: _reachable(graph, node) for node in graph}
    found: list[set[str]] = []
    for node in graph:
        if any(node in part for part in found):
            continue
        part = {o for o in reach[node] if node in reach.get(o, ())} | {node}
        found.append(part)
    return found


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for target in graph.get(todo.pop(), ()):
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return seen


def size(repo: Path) -> dict[str, int]:
    """Count files and lines of the package without minitown, and configs."""
    package = repo / PACKAGE
    files = [
        path
        for path in package.rglob('*.py')
        if not path.relative_to(package).as_posix().startswith(MINITOWN)
    ]
    lines = sum(len(path.read_text().splitlines()) for path in files)
    configs = list((repo / 'configs').rglob('*.py'))
    return {
        'files': len(files),
        'lines': lines,
        'config files': len(configs),
    }


IMPORTED = f"""
import json, sys
before = set(sys.modules)
import mmengine, mmcv, mmseg.registry, mmseg.datasets, mmseg.models
import mmseg.engine, mmseg.evaluation, mmseg.visualization
stock = set(sys.modules) - before
import {PACKAGE}
new = set(sys.modules) - before
print(json.dumps({{
    'modules': sorted(m for m in new if m.split('.')[0] == '{PACKAGE}'),
    'others': sorted(new - stock),
}}))
"""


def imported(repo: Path) -> dict[str, list[str]]:
    """List the modules that ``import mmseg_cag`` executes.

    Returns:
        ``modules`` of the package, and ``others`` that mmseg alone would not
        have imported.
    """
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', IMPORTED],
        cwd=repo,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def mutual_rooms(repo: Path) -> list[str]:
    """List the pairs of rooms that import each other."""
    pairs = {
        (room_of(source), room_of(target)) for source, target in imports(repo)
    }
    return sorted(
        f'{one} <-> {other}'
        for one, other in pairs
        if one < other and (other, one) in pairs
    )


def one_step(repo: Path) -> dict[str, list[str]]:
    """List the files that one step of CAG needs: see `tests.one_step`."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', ROOT / 'tests/one_step.py', repo],
        cwd=repo,
        env={**os.environ, 'PYTHONPATH': str(repo)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the figures of a checkout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--repo', type=Path, default=ROOT)
    repo = parser.parse_args().repo.resolve()
    found = size(repo)
    found['modules imported'] = len(imported(repo)['modules'])
    found['circles of files'] = len(circles(repo))
    found['rooms that import each other'] = len(mutual_rooms(repo))
    step = one_step(repo)
    found['config files of one step of CAG'] = len(step['configs'])
    found['package files of one step of CAG'] = len(step['package'])
    for name, value in found.items():
        print(f'{name}: {value}')
    if repo == ROOT:  # whose rooms are declared
        print(f'imports that go up: {len(upward(repo))}')


if __name__ == '__main__':
    main()

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Progress display: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich import get_console
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

# Seconds between lines in a log.
INTERVAL = 10.0
Show = Callable[[int, int | None], None]
Item = TypeVar('Item')


def track(
    items: Iterable[Item],
    title: str,
    total: int | None = None,
    console: Console | None = None,
    disable: bool = False,
) -> Iterator[Item]:
    """Iterate over items and show the progress.

    Args:
        items: The items.
        title: Text for the user.
        total: Number of items, if they have no length.
        console: Output; by default the standard output.
        disable: Whether to show nothing, as on all ranks but one.
    """
    if disable:
        yield from items
        return
    if total is None and hasattr(items, '__len__'):
        total = len(items)
    with progress(title, console) as show:
        for done, item in enumerate(items, start=1):
            yield item
            show(done, total)


@contextmanager
def progress(title: str, console: Console | None = None) -> Iterator[Show]:
    """Show the progress of a task.

    A log file gets a line for the first and the last item, and every ten
    seconds in between.

    Args:
        title: What the user reads.
        console: Where it is shown; the standard output by default.

    Yields:
        Function of the number of finished items and the total, None if
        unknown.
    """
    console = console or get_console()
    if not console.is_terminal:
        yield _Lines(title, console)
        return
    columns = (
        TextColumn('{task.description}', markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    """Write plain lines at a limited rate."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._console = console
        self._start = time.monotonic()
        self._next = self._start

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now < self._next and done != total:
            return
        self._next = now + INTERVAL
        whole = '' if total is None else f' of {total}'
        text = f'{self._title}: {done}{whole}, {now - self._start:.0f} s'
        self._console.print(
            text, markup=False, highlight=False, soft_wrap=True
        )

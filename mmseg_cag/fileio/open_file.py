# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

from mmengine import fileio

from .zip_backend import ZipBackend


@contextmanager
def open_file(
    path: str, backend_args: dict | None = None
) -> Iterator[IO[bytes]]:
    """Open a file of any backend, reading no more of it than is asked for.

    mmengine's backends read whole files, which is too much for a header;
    only those that lie elsewhere than on a disk are read so here.

    Args:
        path: The file.
        backend_args: Arguments of mmengine's file backend.
    """
    backend = fileio.get_file_backend(
        path, backend_args=backend_args, enable_singleton=True
    )
    if isinstance(backend, ZipBackend):
        opened = backend.open(path)
    elif isinstance(backend, fileio.LocalBackend):
        opened = Path(path).open('rb')
    else:
        opened = BytesIO(backend.get(path))
    with opened as stream:
        yield stream

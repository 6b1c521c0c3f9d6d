# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
from zipfile import BadZipFile, ZipFile

from mmseg_cag.errors import UserError


class ArchiveHandles:
    """Open zip files, opened on first use by each process for itself.

    A forked process would share its parent's position in the file and read
    another member's bytes; it opens its own instead.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._files: dict[str, ZipFile] = {}

    def __getitem__(self, archive: str) -> ZipFile:
        """Open an archive, or return it where this process has it open.

        Args:
            archive: Local path of a zip file.

        Raises:
            UserError: It is damaged or no zip file.
        """
        if self._process != os.getpid():
            self._process, self._files = os.getpid(), {}
        if archive not in self._files:
            try:
                self._files[archive] = ZipFile(archive)
            except (BadZipFile, OSError, NotImplementedError) as error:
                raise UserError(
                    f'{archive}: cannot be read as a zip file ({error}), is '
                    'the download complete?'
                ) from error
        return self._files[archive]

# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from .printable import printable


class UserError(ValueError):
    """A setting or a file that the user can mend.

    The message is one line that names the key or the file and says what was
    expected; the tools print it without a traceback.
    """

    def __str__(self) -> str:
        """Give the message alone.

        A data loader's worker hands its error over with the traceback before
        it, of which the last line is ours. What files and classes are called
        cannot break the line or steer a terminal.
        """
        name = f'{type(self).__module__}.{type(self).__qualname__}: '
        return printable(super().__str__().rpartition(name)[2].strip())


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that a setting names and that does not exist."""
